/** A `preValidation` hook for a body whose fields are all optional: SDKs leave it out, which counts as an empty one. */
export async function absentBodyIsEmpty(request: { body: unknown }): Promise<void> {
  request.body ??= {}
}
