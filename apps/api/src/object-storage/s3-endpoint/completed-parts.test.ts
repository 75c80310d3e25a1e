import { describe, expect, it } from 'vitest'
import { MAX_PARTS } from '../object-store.ts'
import { readParts } from './completed-parts.ts'

const ETAG = '0123456789abcdef0123456789abcdef'
const partOf = (number: number) => `<Part><PartNumber>${number}</PartNumber><ETag>"${ETAG}"</ETag></Part>`
const whole = (content: string) => `<CompleteMultipartUpload>${content}</CompleteMultipartUpload>`
const fields = (count: number) => Array.from({ length: count }, (_, index) => `<a${index}></a${index}>`).join('')
const MIB = 1024 ** 2

describe('the parts of a completed upload', () => {
  it.each([
    ['nothing else', whole(partOf(7))],
    [
      'a declaration, a namespace and lines of their own',
      `\ufeff<?xml version="1.0" encoding="UTF-8"?>
       <CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
         <Part>
           <ETag> "${ETAG}" </ETag>
           <PartNumber>7</PartNumber>
         </Part>
       </CompleteMultipartUpload>
      `,
    ],
    [
      'quotes as entities, and a checksum',
      whole(
        `<Part><ChecksumCRC32>AAAAAA==</ChecksumCRC32><ETag>&quot;${ETAG}&#34;</ETag><PartNumber>7</PartNumber></Part>`,
      ),
    ],
    [
      'empty elements, as serializers of XML write them',
      whole(`<Part><ETag>${ETAG}</ETag><ChecksumCRC32/><ChecksumSHA256 /><PartNumber>7</PartNumber></Part>`),
    ],
    [
      'lines, and each part in the namespace',
      `<?xml version='1.0' encoding='utf-8' standalone='yes'?>
<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
  <Part xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
    <PartNumber>7</PartNumber>
    <ETag>${ETAG}</ETag>
  </Part>
</CompleteMultipartUpload>`,
    ],
    ['no quotes', whole(`<Part><PartNumber>7</PartNumber><ETag>${ETAG}</ETag></Part>`)],
  ])('are read with %s', (_what, text) => {
    expect(readParts(text)).toEqual([{ number: 7, etag: ETAG }])
  })

  it('are as many as an upload has, in the order they are named', () => {
    const numbers = Array.from({ length: MAX_PARTS }, (_, index) => MAX_PARTS - index)
    const parts = numbers.map(partOf).join('')
    expect(readParts(whole(parts)).map(({ number }) => number)).toEqual(numbers)
    expect(() => readParts(whole(parts + partOf(1)))).toThrow('not the XML')
  })

  it.each([
    ['no part', whole('')],
    ['no end', whole(partOf(1)).slice(0, -1)],
    ['an end of a part that does not come', whole(partOf(1).replace('</Part>', ''))],
    ['something behind it', `${whole(partOf(1))}x`],
    ['a number twice', whole(partOf(1).replace('<ETag>', '<PartNumber>2</PartNumber><ETag>'))],
    ['a number that is none', whole(partOf(1).replace('>1<', '>1.5<'))],
    ['an empty number', whole('<Part><PartNumber/><ETag>a</ETag></Part>')],
    ['no etag', whole('<Part><PartNumber>1</PartNumber></Part>')],
    ['elements within', whole(partOf(1).replace('"', '<b>"</b>'))],
    ['a comment', whole(`<!-- -->${partOf(1)}`)],
    ['text', whole(`${partOf(1)} and more`)],
    ['endless small parts', whole('<Part/>'.repeat(MIB / 4))],
    ['endless spaces', whole(' '.repeat(2 * MIB))],
    ['endless spaces in an element', whole(`<Part ${' '.repeat(2 * MIB)}`)],
    ['endless spaces in a field', whole(`<Part><ETag ${' '.repeat(2 * MIB)}`)],
    ['an element without end', whole(`<Part><ETag>${'&'.repeat(2 * MIB)}`)],
    ['an attribute without end', `<CompleteMultipartUpload ${'x="'.repeat(MIB / 2)}`],
    ['more fields than there are', whole(partOf(1).replace('<ETag>', `${fields(15)}<ETag>`))],
  ])('are not read with %s', (_what, text) => {
    expect(() => readParts(text)).toThrow('not the XML')
  })
})
