/** Where the endpoint is, below `/api`; the bucket comes behind it. */
export const S3_PATH = '/s3'

/** Name of the only bucket. */
export const LOCAL_BUCKET = 'atoll'

/** What clients are told; any other is as good. */
export const LOCAL_REGION = 'us-east-1'
