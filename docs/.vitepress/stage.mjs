// Lays out the pages for VitePress: those of docs/ as they are, a first page made of the README,
// and a page for every file of the course that a page may link to.
import { cpSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, posix } from 'node:path'
import { exists, filesBelow, isFolder, pages, read, root, siteFile, title } from './course.mjs'

const [out, mermaid] = process.argv.slice(2)

function put(page, text) {
  mkdirSync(dirname(join(out, page)), { recursive: true })
  writeFileSync(join(out, page), text)
}

/** The part of a page below "## heading", or "" where there is none. */
function section(text, heading) {
  const parts = text.split(/^(?=## )/m)
  return parts.find((part) => part.startsWith(`## ${heading}\n`)) ?? ''
}

/** What the README says before its first section, without its title. */
function introduction(readme) {
  return readme.split(/^(?=## )/m)[0].replace(/^# .*\n/, '')
}

/** From the line that contains `text` to the brace that closes what starts there. */
function construct(file, text) {
  const lines = exists(file) ? read(file).split('\n') : []
  const first = lines.findIndex((line) => line.includes(text))
  if (first < 0) return ''
  const indent = lines[first].match(/^ */)[0]
  const last = lines.findIndex((line, number) => number > first && line === `${indent}}`)
  const code = lines.slice(first, last + 1).filter((line) => !/^ *\/\/ (EXERCISE|END) \d\d\.\d+$/.test(line))
  return code.map((line) => line.slice(indent.length)).join('\n')
}

function firstPage() {
  const readme = read('README.md')
  const [what, ...paragraphs] = introduction(readme).trim().split(/\n\n/)
  const begin = construct('chapters/01-blocking-read/echo.hpp', 'void echo(int client)')
  const end = construct('chapters/08-coroutine-loop/conversation.hpp', 'Task<> echo()')
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
  tagline: One echo server, eight ways of waiting. Each built by hand, each run, each measured.
  actions:
    - { theme: brand, text: Begin, link: ./start }
    - { theme: alt, text: Chapter 01, link: ./01-blocking-read }
---

${what}

<div class="two">

${begin && column('Chapter 01: one silent client stops all the others', begin, 'timeline-01-alone.svg')}
${end && column('Chapter 08: nobody stops anybody', end, 'timeline-08.svg')}
</div>

${paragraphs.join('\n\n')}

${section(readme, 'The two commands')}
${section(readme, 'The map')}
`
}

/** The component that replays a recorded run stands where the page says <!-- stepper: 07 -->. */
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

function sourcePage(file) {
  const name = posix.basename(file)
  const language = name === 'Makefile' ? 'make' : languages[name.split('.').pop()] ?? 'text'
  return `---
search: false
prev: false
next: false
outline: false
pageClass: source
---

# ${file}

\`\`\`\`\`${language}
${read(file).trimEnd()}
\`\`\`\`\`
`
}

function folderPage(folder) {
  const files = filesBelow(folder).map((file) => posix.relative(folder, file))
  const list = files.map((file) => `- [${file}](${posix.basename(folder)}/${file})`).join('\n')
  return `---\nsearch: false\nprev: false\nnext: false\noutline: false\n---\n\n# ${folder}\n\n${list}\n`
}

/** The files and folders that pages link to, and all the code of the chapters. */
function sources() {
  const found = new Set([...filesBelow('chapters'), ...filesBelow('common')])
  for (const page of pages) {
    for (const [, link] of read(page).matchAll(/\]\(([^)#\s:]+)(?:#[^)]*)?\)/g)) {
      const file = posix.join(posix.dirname(page), link).replace(/\/$/, '')
      if (!file.startsWith('..') && exists(file) && !pages.includes(file)) found.add(file)
    }
  }
  for (const file of [...found]) {
    if (isFolder(file)) filesBelow(file).forEach((inside) => found.add(inside))
  }
  return [...found].filter((file) => isFolder(file) || !/\.(svg|png|md)$/.test(file))
}

rmSync(out, { recursive: true, force: true })
put('index.md', firstPage())
for (const page of pages) put(siteFile(page), withSteppers(withHints(read(page)), siteFile(page)))
for (const file of sources()) put(siteFile(file), isFolder(file) ? folderPage(file) : sourcePage(file))
if (exists('docs/figures')) cpSync(join(root, 'docs/figures'), join(out, 'figures'), { recursive: true })
mkdirSync(join(out, 'public'))
cpSync(mermaid, join(out, 'public/mermaid.min.js'))
