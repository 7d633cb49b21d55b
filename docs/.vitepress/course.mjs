// What stands where: the files of the course, and the pages of the site that show them.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join, posix } from 'node:path'

export const root = process.env.COURSE ?? process.cwd()

// The side bar. A page that does not exist (yet, or in a hand-out) is left out.
const reading = [
  ['Begin', ['README.md']],
  ['Chapters', [
    'docs/01-blocking-read.md',
    'docs/02-polling.md',
    'docs/03-select.md',
    'docs/04-epoll.md',
    'docs/05-callback-loop.md',
    'docs/06-promises.md',
    'docs/07-simulated-clock.md',
    'docs/08-coroutine-loop.md'
  ]],
  ['Looking back', [
    'docs/what-you-have-built.md',
    'docs/what-waiting-costs.md',
    'docs/what-every-server-does.md',
    'docs/glossary.md'
  ]]
]

export const read = (file) => readFileSync(join(root, file), 'utf8')
export const exists = (file) => existsSync(join(root, file))
export const isFolder = (file) => statSync(join(root, file)).isDirectory()

/** All files below `folder`, sorted, as paths from the root of the repository. */
export function filesBelow(folder) {
  if (!exists(folder)) return []
  const entries = readdirSync(join(root, folder), { withFileTypes: true })
  return entries
    .filter((entry) => !entry.name.startsWith('.') && entry.name !== '__pycache__')
    .flatMap((entry) => {
      const path = posix.join(folder, entry.name)
      return entry.isDirectory() ? filesBelow(path) : [path]
    })
    .sort()
}

export const pages = ['README.md', ...filesBelow('docs').filter((file) => file.endsWith('.md'))]
export const title = (page) => read(page).match(/^# (.*)$/m)?.[1] ?? page

/** The side bar's groups: [heading, pages]. What the list above does not name comes last. */
export function groups() {
  const named = reading.flatMap(([, files]) => files)
  const rest = pages.filter((page) => !named.includes(page))
  const teaching = rest.filter((page) => page.startsWith('docs/teaching/'))
  const readmeFirst = (a, b) => b.endsWith('README.md') - a.endsWith('README.md') || (a < b ? -1 : 1)
  return [
    ...reading.map(([heading, files]) => [heading, files.filter(exists)]),
    ['More', rest.filter((page) => !teaching.includes(page))],
    ['For teachers', teaching.sort(readmeFirst)]
  ].filter(([, files]) => files.length > 0)
}

/** Where the site shows a file or folder of the repository: a path that ends in .md. */
export function siteFile(file) {
  if (file === 'README.md') return 'start.md'
  if (file.endsWith('.md') && file.startsWith('docs/')) {
    return file.slice('docs/'.length).replace(/README\.md$/, 'index.md')
  }
  return isFolder(file) ? `source/${file}/index.md` : `source/${file}.md`
}

/** Which file of the repository a page of the site shows: relative links start there. */
export function repositoryFile(page) {
  if (page === 'index.md' || page === 'start.md') return 'README.md'
  if (page.startsWith('source/')) return page.slice('source/'.length).replace(/(\/index)?\.md$/, '')
  return 'docs/' + (exists('docs/' + page) ? page : page.replace(/index\.md$/, 'README.md'))
}
