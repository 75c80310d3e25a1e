import { Daytona as Daytona23 } from '@daytonaio/sdk'
import { Daytona as Daytona17 } from 'daytona-sdk-0-17'
import { Daytona as Daytona218 } from 'daytona-sdk-0-218'
import { inject } from 'vitest'

/** Returns the URL and the key of the system that the files of the run share. */
export function sharedSystem(): { url: string; apiKey: string } {
  return { url: inject('sharedUrl'), apiKey: inject('sharedApiKey') }
}

/** Makes a plain HTTP call with the key, for answers that no SDK shows; `path` is below `/api`. */
export function call(path: string, init?: RequestInit): Promise<Response> {
  const { url, apiKey } = sharedSystem()
  const headers = { authorization: `Bearer ${apiKey}`, ...Object.fromEntries(new Headers(init?.headers)) }
  return fetch(`${url}/api${path}`, { ...init, headers })
}

/** Returns SDK 0.17.0, which uses `/workspace`. Like the others it has the administrator's key unless another is given. */
export function sdk17(key?: string): Daytona17 {
  const { apiKey, apiUrl } = settings(key)
  return new Daytona17({ apiKey, apiUrl })
}

/** Returns SDK 0.23.1, which uses `/sandbox`, and the toolbox through the API. */
export function sdk23(key?: string): Daytona23 {
  return new Daytona23(settings(key))
}

/** Returns SDK 0.218.0, which uses the toolbox at its own URL. */
export function sdk218(key?: string): Daytona218 {
  return new Daytona218(settings(key))
}

function settings(key?: string) {
  const { url, apiKey } = sharedSystem()
  // The target keeps the newer SDKs from looking for .env files.
  return { apiKey: key ?? apiKey, apiUrl: `${url}/api`, target: 'us' }
}
