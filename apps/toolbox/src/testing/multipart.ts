export const BOUNDARY = 'atoll-test-boundary'
export const MULTIPART_HEADERS = { 'content-type': `multipart/form-data; boundary=${BOUNDARY}` }

/** A form with one file field, as the SDKs build it. */
export function form(content: Buffer | string, options: { field?: string; filename?: string } = {}): Buffer {
  const { field = 'file', filename = 'upload.bin' } = options
  return Buffer.concat([
    Buffer.from(
      `--${BOUNDARY}\r\nContent-Disposition: form-data; name="${field}"; filename="${filename}"\r\n` +
        'Content-Type: application/octet-stream\r\n\r\n',
    ),
    Buffer.from(content),
    Buffer.from(`\r\n--${BOUNDARY}--\r\n`),
  ])
}
