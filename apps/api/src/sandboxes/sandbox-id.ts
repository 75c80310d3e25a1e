const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i

/** Whether a text can be the id of a sandbox at all; anything else is an unknown one. */
export function isSandboxId(text: string): boolean {
  return UUID.test(text)
}
