/** The path of the endpoint below `/api`; the bucket comes behind it. */
export const S3_PATH = '/s3'

/** The name of the only bucket. */
export const LOCAL_BUCKET = 'atoll'

/** The region that clients are told; any other works as well. */
export const LOCAL_REGION = 'us-east-1'
