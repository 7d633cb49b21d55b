// How the site reads the pages' Markdown: links into the repository, directives, consoles, diagrams.
import { existsSync } from 'node:fs'
import { posix } from 'node:path'
import { exists, repositoryFile, siteFile, slugify } from './course.mjs'

export { slugify }

const onSite = (file) => existsSync(new URL(`../pages/${file}`, import.meta.url))

/** Turns a link of the repository into a link of the site; null if its target is not on the site. */
function siteLink(link, page) {
  if (/^([a-z][a-z0-9+.-]*:|#)/.test(link)) return link
  const [path, anchor] = link.split('#')
  const file = posix.join(posix.dirname(repositoryFile(page)), decodeURI(path)).replace(/\/$/, '')
  if (!exists(file)) return null
  const shown = file.startsWith('docs/figures/') ? file.slice('docs/'.length) : siteFile(file)
  if (!onSite(shown)) return null
  return relative(page, shown) + (anchor ? '#' + anchor : '')
}

function relative(page, target) {
  const path = posix.relative(posix.dirname(page), target)
  return path.startsWith('.') ? path : './' + path
}

function rewriteLinks(tokens, page) {
  const open = []
  for (const token of tokens) {
    if (token.children) rewriteLinks(token.children, page)
    if (token.type === 'image') {
      const link = siteLink(token.attrGet('src'), page)
      if (link !== null) token.attrSet('src', link)
      else Object.assign(token, { type: 'text', content: `(${token.content})`, children: null })
    }
    if (token.type === 'link_open') {
      const link = siteLink(token.attrGet('href'), page)
      open.push(link)
      if (link === null) {
        token.tag = 'span'
        token.attrs = []
      } else {
        token.attrSet('href', link)
      }
    }
    if (token.type === 'link_close' && open.pop() === null) token.tag = 'span'
  }
}

/** The directives of tests/docs/pages.py say which file the block below them comes from. */
function directive(content, page) {
  const code = content.match(/^<!-- code: (?!\[)(\S+)/)
  if (!code || !exists(code[1]) || !onSite(siteFile(code[1]))) return ''
  const href = relative(page, siteFile(code[1])).replace(/\.md$/, '.html')
  return `<p class="from"><a href="${href}">${code[1]}</a></p>\n`
}

/**
 * A terminal: commands and what they print. The copy button leaves out everything that has the
 * class vp-copy-ignore: here the prompts, the output, and the line ends that belong to them.
 */
export function terminal(code) {
  const lines = code.replace(/\n$/, '').split('\n')
  let inCommand = false
  const parts = lines.map((line) => {
    const mark = line.match(inCommand ? /^(\$|>) / : /^\$ /)?.[0]
    inCommand = mark !== undefined
    return { mark, text: line.slice(mark?.length ?? 0), command: inCommand }
  })
  const last = parts.findLastIndex((part) => part.command)
  const ignored = (html) => `<span class="vp-copy-ignore">${html}</span>`
  return parts
    .map(({ mark, text, command }, number) => {
      const end = number < parts.length - 1 ? '\n' : ''
      if (last < 0) return `<span class="line">${escape(text)}</span>${end}`
      if (!command) return ignored(`<span class="line">${escape(text)}</span>${end}`)
      const prompt = `<span class="vp-copy-ignore mark">${escape(mark)}</span>`
      return `<span class="line prompt">${prompt}${escape(text)}</span>` + (number === last ? ignored(end) : end)
    })
    .join('')
}

const escape = (text) => text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;')

/** VitePress numbers lines 1, 2, 3...; a source page leaves out some lines, and keeps the file's numbers. */
function renumber(html, skipped) {
  const left = new Set(skipped)
  let number = 0
  return html.replace(/<span class="line-number">\d+<\/span>/g, () => {
    do number += 1
    while (left.has(number))
    return `<span class="line-number">${number}</span>`
  })
}

/** Must be installed before VitePress's own rules, which turn .md into .html. */
export function course(md) {
  md.core.ruler.push('course', (state) => {
    const page = state.env.relativePath
    if (page === undefined) return
    rewriteLinks(state.tokens, page)
    for (const token of state.tokens) {
      if (token.type === 'html_block' && token.content.startsWith('<!--')) {
        token.content = directive(token.content, page)
      }
    }
  })
  const fence = md.renderer.rules.fence
  md.renderer.rules.fence = (tokens, index, options, env, self) => {
    const token = tokens[index]
    const info = token.info.trim()
    if (info === 'console') {
      token.info = 'text'
      return fence(tokens, index, options, env, self)
        .replace('class="language-text', 'class="language-text console')
        .replace(/(<code[^>]*>)[^]*?(<\/code>)/, (_, open, close) => open + terminal(token.content) + close)
    }
    if (info === 'mermaid') {
      const source = md.utils.escapeHtml(token.content)
      return `<Diagram source="${encodeURIComponent(token.content)}"><pre class="diagram-source" v-pre>${source}</pre></Diagram>\n`
    }
    const html = fence(tokens, index, options, env, self)
    return info.includes(':line-numbers') ? renumber(html, env.frontmatter?.skipped ?? []) : html
  }
  // Code that must not be broken over two lines: names, and commands that are not too long.
  const inlineCode = md.renderer.rules.code_inline
  md.renderer.rules.code_inline = (tokens, index, ...rest) => {
    const { content } = tokens[index]
    if (content.length <= 24 || (!content.includes(' ') && content.length <= 36)) tokens[index].attrJoin('class', 'short')
    return inlineCode(tokens, index, ...rest)
  }
  // As a line end, Vue would remove it between two elements: "*inside*\n`when_any`".
  md.renderer.rules.softbreak = () => ' '
  md.renderer.rules.table_open = () => '<div class="scroll" tabindex="0"><table>\n'
  md.renderer.rules.table_close = () => '</table></div>\n'
}
