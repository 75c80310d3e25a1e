/** A `preValidation` hook for a body whose every field is optional: an absent one is an empty one, as SDKs send it. */
export async function absentBodyIsEmpty(request: { body: unknown }): Promise<void> {
  request.body ??= {}
}
