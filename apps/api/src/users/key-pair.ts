import { generateKeyPair } from 'node:crypto'
import { promisify } from 'node:util'

/** A pair of this size takes about 100 ms of a core, off the event loop. */
const MODULUS_BITS = 2048

const generate = promisify(generateKeyPair)

export interface KeyPair {
  /** SPKI in PEM. */
  readonly publicKey: string
  /** PKCS #8 in PEM. */
  readonly privateKey: string
}

/** Makes an RSA key pair. */
export function generateRsaKeyPair(): Promise<KeyPair> {
  return generate('rsa', {
    modulusLength: MODULUS_BITS,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  })
}
