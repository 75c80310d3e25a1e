import * as august2025 from 'daytona-api-client-0-23'
import * as newest from 'daytona-api-client-0-218'
import { sharedSystem } from './shared-system.ts'

/**
 * The generated clients under the SDKs, for operations that no SDK method calls: here 0.23.1. With the administrator's
 * key unless another credential is given.
 */
export function organizations23(credential?: string): august2025.OrganizationsApi {
  return new august2025.OrganizationsApi(new august2025.Configuration(clientSettings(credential)))
}

/** The same of 0.218.0. */
export function organizations218(credential?: string): newest.OrganizationsApi {
  return new newest.OrganizationsApi(new newest.Configuration(clientSettings(credential)))
}

export function audit218(): newest.AuditApi {
  return new newest.AuditApi(new newest.Configuration(clientSettings()))
}

/** The status and body of a call that must fail. */
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

/** What a generated client's configuration is made of. */
export function clientSettings(credential?: string) {
  const { url, apiKey } = sharedSystem()
  return { basePath: `${url}/api`, accessToken: credential ?? apiKey }
}
