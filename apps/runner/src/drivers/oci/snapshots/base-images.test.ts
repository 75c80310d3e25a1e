import { describe, expect, it } from 'vitest'
import { findBaseImages } from './base-images.ts'

describe('the base images of a Dockerfile', () => {
  it('are those of FROM and COPY --from that are no stage, with variables filled in', () => {
    const dockerfile = `ARG VERSION=3.13
FROM --platform=linux/amd64 docker.io/library/python:\${VERSION} AS Build
RUN <<END
FROM never
END
FROM build AS next
COPY --from=0 /a /a
COPY --from=build /a /a
COPY --from=127.0.0.1:5000/tools:1 /b /b
FROM \${OTHER:-alpine}\${VERSION:+:3}
FROM scratch
`
    expect(findBaseImages(dockerfile)).toEqual(['docker.io/library/python:3.13', 'alpine:3', '127.0.0.1:5000/tools:1'])
  })

  it('are none where there is no FROM', () => {
    expect(findBaseImages('RUN true')).toEqual([])
  })

  it.each([
    ['FROM', `FROM ${'${a:-'.repeat(25_000)}`],
    ['an ARG', `ARG A=${'a'.repeat(2_000)}\nFROM $A`],
    ['many ARGs', `ARG A=${'a'.repeat(20)}\nFROM ${'$A'.repeat(100)}`],
  ])('are no longer than a name is, by %s', (_what, dockerfile) => {
    expect(() => findBaseImages(dockerfile)).toThrow('the name of a base image has more than 1024 characters')
  })
})
