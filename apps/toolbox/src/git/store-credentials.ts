import type { ToolboxOperations } from '@atoll/protocol'
import { AppError } from '@atoll/protocol'
import type { Handler } from '../call.ts'
import type { Git } from './git.ts'

const DEFAULT_HOST = 'github.com'
const DEFAULT_PROTOCOL = 'https'

/** Stores credentials for a host, as plain text in the home folder, and makes git look there from now on. */
export function createStoreCredentials(git: Git): Handler<ToolboxOperations['storeGitCredentials']> {
  return async ({ body, signal }) => {
    const { username, password } = body
    const host = body.host || DEFAULT_HOST
    const protocol = body.protocol || DEFAULT_PROTOCOL
    if (!/^[a-z][a-z0-9+.-]*$/i.test(protocol)) refuse('protocol is none')
    if (!/^[^\s/@?#\0]+$/.test(host)) refuse('host must be a name, with a port where it has one')
    if (/[\n\r\0]/.test(username + password)) refuse('username and password must each be one line')
    const anywhere = await git.open('/', signal)
    const helpers = await anywhere.attempt(['config', '--global', '--get-all', 'credential.helper'])
    if (!helpers.stdout.split('\n').includes('store')) {
      await anywhere.run(['config', '--global', '--add', 'credential.helper', 'store'], { setsConfig: true })
    }
    const input = `protocol=${protocol}\nhost=${host}\nusername=${username}\npassword=${password}\n\n`
    await anywhere.run(['credential-store', 'store'], { input })
    return undefined
  }
}

function refuse(why: string): never {
  throw new AppError('VALIDATION_FAILED', `body: ${why}`)
}
