// Lays out the pages for VitePress: those of docs/ as they are, a first page and a page of
// instructions made from the README, and a page for every source file that a page may link to.
import { cpSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, posix } from 'node:path'
import { exists, filesBelow, filesNamedIn, isFolder, isMarker, pages, pagesAbout, read, root, siteFile, slugify, title } from './course.mjs'

const [out, mermaid] = process.argv.slice(2)

function put(page, text) {
  mkdirSync(dirname(join(out, page)), { recursive: true })
  writeFileSync(join(out, page), text)
}

// The README in parts: the first page shows its introduction and its map, the page of instructions
// the rest, so that neither repeats the other.
const [introduction, ...sections] = read('README.md').replace(/^# .*\n/, '').split(/^(?=## )/m)
const isMap = (section) => /^## .*\bmap\b/i.test(section)
const heading = (section) => section.match(/^## (.*)/)[1]

/** A piece of code, from the line that contains `text` to the brace that closes it. */
function construct(file, text) {
  const lines = exists(file) ? read(file).split('\n') : []
  const first = lines.findIndex((line) => line.includes(text))
  if (first < 0) return ''
  const indent = lines[first].match(/^ */)[0]
  const last = lines.findIndex((line, number) => number > first && line === `${indent}}`)
  const code = lines.slice(first, last + 1).filter((line) => !isMarker(line))
  return code.map((line) => line.slice(indent.length)).join('\n')
}

/** The page that "Begin" leads to: what you need, the first commands, how to read on. */
function startPage() {
  const text = sections.filter((section) => !isMap(section)).join('')
  return `# How to use this course\n\n${text.replace('the table above', 'the table on the first page')}`
}

function firstPage() {
  // The README's two figures stand below the code here, in columns of their own.
  const [what, ...paragraphs] = introduction.trim().split(/\n\n/).filter((text) => !text.startsWith('!['))
  const begin = construct('chapters/01-blocking-read/echo.hpp', 'void echo(int client)')
  const end = construct('chapters/08-coroutine-loop/conversation.hpp', 'Task<> echo()')
  const firstSteps = sections.map(heading).find((text) => /first/i.test(text))
  const anchor = firstSteps ? '#' + slugify(firstSteps) : ''
  const column = (heading, code, figure) => `<div>

#### ${heading}

\`\`\`cpp
${code}
\`\`\`
${exists(`docs/figures/${figure}`) ? `\n![](docs/figures/${figure})\n` : ''}
</div>
`
  return `---
layout: home
title: ${title('README.md')}
titleTemplate: false
hero:
  name: ${title('README.md')}
  text: From read() to co_await
  tagline: One echo server, eight ways of waiting. You build, run and measure each of them.
  actions:
    - { theme: brand, text: Begin, link: ./start${anchor} }
    - { theme: alt, text: Chapter 01, link: ./01-blocking-read }
---

${what}

<div class="two">

${begin && column('Chapter 01: one silent client stops all the others', begin, 'timeline-first.svg')}
${end && column('Chapter 08: no client delays another', end, 'timeline-last.svg')}
</div>

${paragraphs.join('\n\n')}

${sections.filter(isMap).join('')}
`
}

/** Puts the component that replays a recorded run where the page says <!-- stepper: 07 -->. */
function withSteppers(text, page) {
  const found = new Set()
  const variable = (name) => 'recording' + name.replace('-', '')
  const body = text.replace(/^<!-- stepper: ([\w-]+) -->$/gm, (_, name) => {
    if (!exists(`docs/.vitepress/recordings/${name}.json`)) throw new Error(`${page}: there is no recording ${name}`)
    found.add(name)
    return `<Stepper :run="${variable(name)}" />`
  })
  if (found.size === 0) return text
  const up = '../'.repeat(page.split('/').length)
  const imports = [...found].map(
    (name) => `import ${variable(name)} from '${up}.vitepress/recordings/${name}.json'`
  )
  return `${body}\n<script setup>\n${imports.join('\n')}\n</script>\n`
}

/** The hints of an exercise, each in a fold. Their text is in tests/exercises/hints, and nowhere else. */
function folds(number) {
  if (!exists(`tests/exercises/hints/${number}.md`)) return []
  const [, ...hints] = read(`tests/exercises/hints/${number}.md`).split(/^## (?=Hint \d+$)/m)
  return hints.map((hint) => {
    const [heading, ...lines] = hint.trim().split('\n')
    return `<details class="hint"><summary>${heading}</summary>\n\n${lines.join('\n').trim()}\n\n</details>`
  })
}

/** Where a page links to the hints of an exercise, the book shows them: below that paragraph. */
function withHints(text) {
  const link = /\s*\(\[hints\]\((?:\.\.\/)+tests\/exercises\/hints\/(\d\d\.\d+)\.md\)\)/g
  return text.split('\n\n').map((paragraph) => {
    const numbers = [...paragraph.matchAll(link)].map((match) => match[1])
    return [paragraph.replace(link, ''), ...numbers.flatMap(folds)].join('\n\n')
  }).join('\n\n')
}

const languages = { cpp: 'cpp', hpp: 'cpp', py: 'python', js: 'js', mjs: 'js', json: 'json', sh: 'sh' }

/** Links from a source page back to the pages that explain the file. */
function explainedIn(file) {
  const link = (page) => `[${title(page)}](${posix.relative(posix.dirname(file), page)})`
  const about = pagesAbout(file).filter((page) => page !== 'README.md')
  return about.length > 0 ? `Explained in ${about.slice(0, 3).map(link).join(', ')}.` : ''
}

const hidden = 'search: false\nprev: false\nnext: false\noutline: false\npageClass: source\n'

function sourcePage(file) {
  const name = posix.basename(file)
  const language = name === 'Makefile' ? 'make' : languages[name.split('.').pop()] ?? 'text'
  const lines = read(file).trimEnd().split('\n')
  const skipped = lines.flatMap((line, index) => (isMarker(line) ? [index + 1] : []))
  return `---
${hidden}skipped: [${skipped}]
---

# ${file}

${explainedIn(file)}

\`\`\`\`\`${language}:line-numbers
${lines.filter((line) => !isMarker(line)).join('\n')}
\`\`\`\`\`
`
}

function folderPage(folder) {
  const files = filesBelow(folder).map((file) => posix.relative(folder, file))
  const list = files.map((file) => `- [${file}](${posix.basename(folder)}/${file})`).join('\n')
  return `---\n${hidden}---\n\n# ${folder}\n\n${explainedIn(folder)}\n\n${list}\n`
}

/** The files and folders that the pages name, and all the code of the chapters. */
function sources() {
  const found = new Set([...filesBelow('chapters'), ...filesBelow('common')])
  for (const page of pages) {
    for (const file of filesNamedIn(page)) if (!pages.includes(file)) found.add(file)
  }
  for (const file of [...found]) {
    if (isFolder(file)) filesBelow(file).forEach((inside) => found.add(inside))
  }
  return [...found].filter((file) => isFolder(file) || !/\.(svg|png|md)$/.test(file))
}

rmSync(out, { recursive: true, force: true })
put('index.md', firstPage())
put('start.md', startPage())
for (const page of pages) {
  if (page !== 'README.md') put(siteFile(page), withSteppers(withHints(read(page)), siteFile(page)))
}
for (const file of sources()) put(siteFile(file), isFolder(file) ? folderPage(file) : sourcePage(file))
if (exists('docs/figures')) cpSync(join(root, 'docs/figures'), join(out, 'figures'), { recursive: true })
mkdirSync(join(out, 'public'))
cpSync(mermaid, join(out, 'public/mermaid.min.js'))
