const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i

/** Whether a text can be compared with a uuid column; any other text is an unknown id. */
export function isUuid(text: string): boolean {
  return UUID.test(text)
}
