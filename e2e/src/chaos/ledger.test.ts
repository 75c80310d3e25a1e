import { describe, expect, it } from 'vitest'
import { ABSENT, createLedger, fallBack, freshFile, noteContent, noteSaved } from './ledger.ts'

const known = { acknowledged: true, flushed: true }
const unheard = { acknowledged: false, flushed: true }

/** A sandbox with a file that was saved with one content and has had two others since, and a file that is newer. */
function saved() {
  const sandbox = createLedger().add('one')
  const file = freshFile(sandbox)
  noteContent(file, 'saved', known)
  noteSaved(sandbox)
  noteContent(file, 'later', known)
  noteContent(file, 'last', known)
  const newer = freshFile(sandbox)
  noteContent(newer, 'new', unheard)
  return { sandbox, file, newer }
}

describe('fallBack', () => {
  it('allows what a file has had since its last backup, and that a newer one is not there', () => {
    const { sandbox, file, newer } = saved()
    expect([...file.possible]).toEqual(['last'])
    fallBack(sandbox)
    expect([...file.possible].sort()).toEqual(['last', 'later', 'saved'])
    expect([...newer.possible].sort()).toEqual([ABSENT, 'new'])
    noteContent(file, 'after', known)
    expect([...file.possible]).toEqual(['after'])
  })

  it('allows of a fork what its source had when it was forked, and later', () => {
    const { sandbox, file } = saved()
    const copy = createLedger().add('fork', sandbox).files.get(file.path) ?? freshFile(sandbox)
    noteContent(copy, 'own', known)
    expect([...copy.sinceSaved]).toEqual(['last', 'own'])
  })
})
