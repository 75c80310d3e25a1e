/**
 * The advisory locks by which replicas exclude each other, listed in one place: two with the same number would wait for
 * each other. Numbers stay the same over versions, since replicas of two versions may run at once.
 */
export const advisoryLocks = {
  migration: 7_304_501,
  firstStart: 7_304_502,
  keyRotation: 7_304_503,
  warmPoolKeeper: 7_304_504,
  organizationUpkeep: 7_304_505,
  signedPreviews: 7_304_506,
  runnerRemoval: 7_304_507,
  dockerRegistries: 7_304_510,
  storedObjects: 7_304_520,
  objectUploads: 7_304_521,
} as const
