// Which files the course consists of, and which page of the site shows each of them.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join, posix } from 'node:path'

export const root = process.env.COURSE ?? process.cwd()

// The sidebar. A page that does not exist (yet, or in a hand-out) is left out.
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
    'docs/08-coroutine-loop.md',
    'docs/08-lifetime.md',
    'docs/08-chat-room.md'
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

/** The sidebar's groups: [heading, pages]. Pages that the list above does not name come last. */
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

/** The page of the site (a path that ends in .md) that shows a file or folder of the repository. */
export function siteFile(file) {
  if (file === 'README.md') return 'start.md'
  if (file.endsWith('.md') && file.startsWith('docs/')) {
    return file.slice('docs/'.length).replace(/README\.md$/, 'index.md')
  }
  return isFolder(file) ? `source/${file}/index.md` : `source/${file}.md`
}

/** The file of the repository that a page of the site shows. Relative links start there. */
export function repositoryFile(page) {
  if (page === 'index.md' || page === 'start.md') return 'README.md'
  if (page.startsWith('source/')) return page.slice('source/'.length).replace(/(\/index)?\.md$/, '')
  return 'docs/' + (exists('docs/' + page) ? page : page.replace(/index\.md$/, 'README.md'))
}

// The lines that mark an exercise in the code; they are for tools, and no page shows them.
export const isMarker = (line) => /^\s*(\/\/|#) *(EXERCISE|END|HINT)\b/.test(line)

const resolve = (page, link) => posix.join(posix.dirname(page), link).replace(/\/$/, '')

/** The files and folders that a page links to or shows code from. */
export function filesNamedIn(page) {
  const text = read(page)
  const links = [...text.matchAll(/\]\(([^)#\s:]+)(?:#[^)]*)?\)/g)].map(([, link]) => resolve(page, link))
  const code = [...text.matchAll(/^<!-- code: (?!\[)(\S+)/gm)].map(([, file]) => file)
  return new Set([...links, ...code].filter((file) => !file.startsWith('..') && exists(file)))
}

/** The pages that explain a file, its own chapter's first. */
export function pagesAbout(file) {
  const chapter = file.match(/^(?:chapters|tests)\/([^/]+)/)?.[1]
  const own = pages.filter((page) => page === `docs/${chapter}.md`)
  const others = pages.filter((page) => !own.includes(page) && filesNamedIn(page).has(file))
  return [...own, ...others]
}

/** The anchor that GitHub gives a heading, so that one link works in both places. */
export const slugify = (heading) =>
  heading.trim().toLowerCase().replace(/[^\p{L}\p{N}_\- ]/gu, '').replace(/ /g, '-')
