import { existsSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { isPagePath } from '../../src/api/page-files.ts'

const text = readFileSync('docs/page.md', 'utf8')
const screens = [
  ...readFileSync('src/dashboard/screens.ts', 'utf8').matchAll(
    /path: '([^']+)',\s+title: '([^']+)',\s+key: '(.)'/g,
  ),
].map(([, path, title, key]) => ({ path: path!, title: title!, key: key! }))

test('every screen is documented, with its key, and served', () => {
  expect(screens).toHaveLength(11)
  expect(screens.filter(({ path, title }) => !text.includes(`| \`/${path}\` | ${title} |`))).toEqual([])
  expect(text).toContain(`\`g\` then \`${screens.map(({ key }) => key).join(' ')}\``)
  expect(screens.filter(({ path }) => !isPagePath(`/${path}`))).toEqual([])
  expect(new Set(screens.map(({ key }) => key)).size).toBe(screens.length)
})

test('every picture is there', () => {
  const pictures = [...text.matchAll(/\]\((pictures\/[^)]+)\)/g)].map(([, path]) => path!)
  expect(pictures).toHaveLength(4)
  expect(pictures.filter(path => !existsSync(`docs/${path}`))).toEqual([])
})
