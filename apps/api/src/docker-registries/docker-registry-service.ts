import { randomUUID } from 'node:crypto'
import type {
  CreateDockerRegistry,
  DockerRegistry,
  RegistryAccess,
  RegistryPushAccess,
  UpdateDockerRegistry,
} from '@atoll/protocol'
import { AppError, MAX_DOCKER_REGISTRIES, MAX_REGISTRIES } from '@atoll/protocol'
import type { Principal } from '../auth/principal.ts'
import { isUuid } from '../database/uuid.ts'
import { checkText } from '../http/text-map.ts'
import type { Sealer } from '../secrets/sealer.ts'
import type { DockerRegistryStore, RegistryScope } from './docker-registry-store.ts'
import type { DockerRegistryRow } from './docker-registry-table.ts'
import type { HarborRobots } from './harbor-robots.ts'

export interface DockerRegistryServiceOptions {
  store: DockerRegistryStore
  sealer: Sealer
  robots: HarborRobots
}

/**
 * Handles an organization's registries and, for an administrator, the system's own. Any other registry is unknown
 * (DOCKER_REGISTRY_NOT_FOUND).
 */
export interface DockerRegistryService {
  /** Throws FORBIDDEN for a type that only administrators may make, and DOCKER_REGISTRY_LIMIT_REACHED. */
  create(caller: Principal, body: CreateDockerRegistry): Promise<DockerRegistry>
  /** Returns the registries, newest first. */
  list(caller: Principal): Promise<DockerRegistry[]>
  get(caller: Principal, id: string): Promise<DockerRegistry>
  /** Throws VALIDATION_FAILED for a new host without a new password, since the old password would be sent there. */
  update(caller: Principal, id: string, body: UpdateDockerRegistry): Promise<DockerRegistry>
  /** Makes the registry the default in place of the former one. */
  setDefault(caller: Principal, id: string): Promise<DockerRegistry>
  delete(caller: Principal, id: string): Promise<void>
  /** Throws REGISTRY_PUSH_UNAVAILABLE where no registry takes pushes, and the errors of issuing. */
  pushAccess(): Promise<RegistryPushAccess>
  /** Returns the logins of an organization's own registries, newest first, as many as one pull may have. */
  accessOf(organizationId: string): Promise<RegistryAccess[]>
  /** Ends push access whose hour is over. Throws the errors of the registry's calls. */
  endExpiredPushAccess(signal: AbortSignal): Promise<void>
  /** Reseals with the first key the passwords that another key sealed; returns their number. Throws SECRET_UNREADABLE. */
  sealAnew(): Promise<number>
}

export function createDockerRegistryService(options: DockerRegistryServiceOptions): DockerRegistryService {
  return new DockerRegistries(options)
}

class DockerRegistries implements DockerRegistryService {
  private readonly options: DockerRegistryServiceOptions

  constructor(options: DockerRegistryServiceOptions) {
    this.options = options
  }

  async create(caller: Principal, body: CreateDockerRegistry): Promise<DockerRegistry> {
    const { registryType = 'organization', isDefault = false, project = '', password, ...named } = body
    if (registryType !== 'organization' && caller.systemRole !== 'admin') {
      throw new AppError('FORBIDDEN', `Only an administrator may make a registry of type ${registryType}`)
    }
    checkTexts(body)
    const id = randomUUID()
    const organizationId = registryType === 'organization' ? caller.organizationId : null
    const sealedPassword = this.seal(id, password)
    const { name, url, username } = named
    const registry = { id, organizationId, name, url, username, sealedPassword, project, registryType, isDefault }
    const row = await this.options.store.insert(registry, MAX_DOCKER_REGISTRIES)
    if (row !== undefined) return toDto(row)
    throw new AppError(
      'DOCKER_REGISTRY_LIMIT_REACHED',
      `There may be at most ${MAX_DOCKER_REGISTRIES} registries in an organization`,
    )
  }

  async list(caller: Principal): Promise<DockerRegistry[]> {
    return (await this.options.store.list(scopeOf(caller))).map(toDto)
  }

  async get(caller: Principal, id: string): Promise<DockerRegistry> {
    return toDto(await this.find(caller, id))
  }

  async update(caller: Principal, id: string, body: UpdateDockerRegistry): Promise<DockerRegistry> {
    checkTexts(body)
    const current = await this.find(caller, id)
    const { name, username, password = '', url = current.url, project = current.project } = body
    if (url !== current.url && password === '') {
      throw new AppError('VALIDATION_FAILED', 'body.password must be given when the url changes')
    }
    const sealed = password === '' ? {} : { sealedPassword: this.seal(current.id, password) }
    const change = { name, username, url, project, ...sealed }
    return toDto(known(await this.options.store.update(current.id, scopeOf(caller), change), id))
  }

  async setDefault(caller: Principal, id: string): Promise<DockerRegistry> {
    checkId(id)
    return toDto(known(await this.options.store.setDefault(id, scopeOf(caller)), id))
  }

  async delete(caller: Principal, id: string): Promise<void> {
    checkId(id)
    if (!(await this.options.store.delete(id, scopeOf(caller)))) throw registryNotFound(id)
  }

  async pushAccess(): Promise<RegistryPushAccess> {
    const row = await this.options.store.findGlobal('transient')
    if (row === undefined) {
      throw new AppError(
        'REGISTRY_PUSH_UNAVAILABLE',
        'Images cannot be pushed: no registry of type transient is configured on this server',
      )
    }
    const credentials = await this.options.robots.issue(row, this.passwordOf(row))
    return { ...credentials, registryUrl: row.url, registryId: row.id, project: row.project }
  }

  async accessOf(organizationId: string): Promise<RegistryAccess[]> {
    const rows = await this.options.store.list({ organizationId, withGlobal: false })
    return rows
      .filter(({ username }) => username !== '')
      .slice(0, MAX_REGISTRIES)
      .map((row) => ({ host: registryHost(row.url), username: row.username, password: this.passwordOf(row) }))
  }

  async endExpiredPushAccess(signal: AbortSignal): Promise<void> {
    const row = await this.options.store.findGlobal('transient')
    if (row !== undefined) await this.options.robots.removeExpired(row, this.passwordOf(row), signal)
  }

  async sealAnew(): Promise<number> {
    const { store, sealer } = this.options
    const outdated = (await store.listSealed()).filter(({ sealedPassword }) => sealer.isOutdated(sealedPassword))
    for (const { id, sealedPassword } of outdated) {
      const password = this.passwordOf({ id, sealedPassword })
      await store.replaceSealed(id, sealedPassword, this.seal(id, password))
    }
    return outdated.length
  }

  private async find(caller: Principal, id: string): Promise<DockerRegistryRow> {
    checkId(id)
    return known(await this.options.store.find(id, scopeOf(caller)), id)
  }

  private passwordOf({ id, sealedPassword }: Pick<DockerRegistryRow, 'id' | 'sealedPassword'>): string {
    return this.options.sealer.open(sealedPassword, passwordPlace(id))
  }

  private seal(id: string, password: string): string {
    return this.options.sealer.seal(password, passwordPlace(id))
  }
}

/** Returns the host as image references name it. Docker Hub's own addresses use other names. */
function registryHost(url: string): string {
  const { host } = new URL(url.includes('://') ? url : `https://${url}`)
  return /(^|\.)docker\.io$/.test(host) ? 'docker.io' : host
}

function passwordPlace(id: string) {
  return { table: 'docker_registries', row: id, column: 'sealed_password' }
}

function scopeOf({ organizationId, systemRole }: Principal): RegistryScope {
  return { organizationId, withGlobal: systemRole === 'admin' }
}

function checkId(id: string): void {
  if (!isUuid(id)) throw registryNotFound(id)
}

function checkTexts({ name, username, password = '', project = '' }: UpdateDockerRegistry): void {
  checkText('body.name', name)
  checkText('body.username', username)
  checkText('body.password', password)
  checkText('body.project', project)
}

function known(row: DockerRegistryRow | undefined, id: string): DockerRegistryRow {
  if (row === undefined) throw registryNotFound(id)
  return row
}

/** The error is the same for an unknown id and for a registry that the caller may not see. */
function registryNotFound(id: string): AppError {
  return new AppError('DOCKER_REGISTRY_NOT_FOUND', `Docker registry with ID ${id} not found`)
}

function toDto(row: DockerRegistryRow): DockerRegistry {
  const { id, name, url, username, project, registryType } = row
  const times = { createdAt: row.createdAt.toISOString(), updatedAt: row.updatedAt.toISOString() }
  return { id, name, url, username, project, registryType, ...times }
}
