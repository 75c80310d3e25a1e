import * as august2025 from 'daytona-api-client-0-23'
import * as newest from 'daytona-api-client-0-218'
import { sharedSystem } from './shared-system.ts'

/**
 * Returns the generated client under SDK 0.23.1, for operations that no SDK method calls. It has the administrator's key
 * unless another credential is given.
 */
export function organizations23(credential?: string): august2025.OrganizationsApi {
  return new august2025.OrganizationsApi(new august2025.Configuration(clientSettings(credential)))
}

/** Returns the same client of SDK 0.218.0. */
export function organizations218(credential?: string): newest.OrganizationsApi {
  return new newest.OrganizationsApi(new newest.Configuration(clientSettings(credential)))
}

export function audit218(): newest.AuditApi {
  return new newest.AuditApi(new newest.Configuration(clientSettings()))
}

/** Returns the status and the message of a call that must fail. */
export async function refusal(call: Promise<unknown>): Promise<{ status: number; message: string }> {
  try {
    await call
  } catch (error) {
    const { response } = error as { response?: { status: number; data: { message: string } } }
    if (response === undefined) throw error
    return { status: response.status, message: response.data.message }
  }
  throw new Error('the call did not fail')
}

/** Returns the settings of a generated client. */
export function clientSettings(credential?: string) {
  const { url, apiKey } = sharedSystem()
  return { basePath: `${url}/api`, accessToken: credential ?? apiKey }
}
