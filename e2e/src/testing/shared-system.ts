import { Daytona as Daytona23 } from '@daytonaio/sdk'
import { Daytona as Daytona17 } from 'daytona-sdk-0-17'
import { Daytona as Daytona218 } from 'daytona-sdk-0-218'
import { inject } from 'vitest'

/** Where the system is that the run's files share. */
export function sharedSystem(): { url: string; apiKey: string } {
  return { url: inject('sharedUrl'), apiKey: inject('sharedApiKey') }
}

/** A plain HTTP call with the key, for what no SDK shows: `path` is below `/api`. */
export function call(path: string, init?: RequestInit): Promise<Response> {
  const { url, apiKey } = sharedSystem()
  const headers = { authorization: `Bearer ${apiKey}`, ...Object.fromEntries(new Headers(init?.headers)) }
  return fetch(`${url}/api${path}`, { ...init, headers })
}

/** SDK 0.17.0: `/workspace`. Like the others with the administrator's key, unless another is given. */
export function sdk17(key?: string): Daytona17 {
  const { apiKey, apiUrl } = settings(key)
  return new Daytona17({ apiKey, apiUrl })
}

/** SDK 0.23.1: `/sandbox`, toolbox through the API. */
export function sdk23(key?: string): Daytona23 {
  return new Daytona23(settings(key))
}

/** SDK 0.218.0: toolbox at its own URL. */
export function sdk218(key?: string): Daytona218 {
  return new Daytona218(settings(key))
}

function settings(key?: string) {
  const { url, apiKey } = sharedSystem()
  // A target keeps the newer SDKs from looking for .env files.
  return { apiKey: key ?? apiKey, apiUrl: `${url}/api`, target: 'us' }
}
