import { describe, expect, it } from 'vitest'
import { parseImageReference } from './image-reference.ts'

const DIGEST = `sha256:${'a'.repeat(64)}`

describe('the name of an image', () => {
  it.each([
    ['python', 'docker.io/library/python:latest', 'docker.io'],
    ['python:3.13-slim', 'docker.io/library/python:3.13-slim', 'docker.io'],
    ['daytonaio/sandbox:0.5.0', 'docker.io/daytonaio/sandbox:0.5.0', 'docker.io'],
    ['ghcr.io/a/b_c/d-e:1', 'ghcr.io/a/b_c/d-e:1', 'ghcr.io'],
    ['registry:5000/a:1', 'registry:5000/a:1', 'registry:5000'],
    ['localhost/a', 'localhost/a:latest', 'localhost'],
    [`python:3@${DIGEST}`, `docker.io/library/python@${DIGEST}`, 'docker.io'],
  ])('%s is %s', (text, name, registry) => {
    expect(parseImageReference(text)).toMatchObject({ name, registry })
  })

  it('tells registries on loopback from others', () => {
    const isLoopback = (text: string) => parseImageReference(text).isLoopback
    expect(['127.0.0.1:5000/a', '127.9.9.9/a', 'localhost:1/a'].map(isLoopback)).toEqual([true, true, true])
    expect(['10.0.0.1/a', '127.0.0.1.example.com/a', 'a/b'].map(isLoopback)).toEqual([false, false, false])
  })

  it.each([
    '',
    'A',
    'a//b',
    'a:',
    'a:b:c',
    'a@sha256:1',
    'a/../b',
    'docker://a',
    '169.254.169.254/a',
    '168.63.129.16:80/a',
  ])('%j is refused', (text) => {
    expect(() => parseImageReference(text)).toThrow(/is not the name of an image|is no registry/)
  })
})
