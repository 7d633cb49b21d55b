// What the pages' Markdown means on the site: links into the repository, directives, diagrams.
import { existsSync } from 'node:fs'
import { posix } from 'node:path'
import { exists, repositoryFile, siteFile } from './course.mjs'

/** The anchor that a code host gives a heading, so that one link is right in both places. */
export const slugify = (heading) =>
  heading.trim().toLowerCase().replace(/[^\p{L}\p{N}_\- ]/gu, '').replace(/ /g, '-')

const onSite = (file) => existsSync(new URL(`../pages/${file}`, import.meta.url))

/** A link of the repository as a link of the site; null where what it names is not there. */
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
      const link = page.startsWith('source/') ? token.attrGet('href') : siteLink(token.attrGet('href'), page)
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

/** The directives of tests/docs/pages.py say where the block below them comes from. */
function directive(content, page) {
  const code = content.match(/^<!-- code: (?!\[)(\S+)/)
  if (!code || !exists(code[1]) || !onSite(siteFile(code[1]))) return ''
  const href = relative(page, siteFile(code[1])).replace(/\.md$/, '.html')
  return `<p class="from"><a href="${href}">${code[1]}</a></p>\n`
}

/** To be installed in front of VitePress's own rules, which turn .md into .html. */
export function course(md) {
  md.core.ruler.push('course', (state) => {
    const page = state.env.relativePath
    if (page === undefined) return
    if (!page.startsWith('source/') || page.endsWith('/index.md')) rewriteLinks(state.tokens, page)
    for (const token of state.tokens) {
      if (token.type === 'html_block' && token.content.startsWith('<!--')) {
        token.content = directive(token.content, page)
      }
    }
  })
  const fence = md.renderer.rules.fence
  md.renderer.rules.fence = (tokens, index, ...rest) => {
    const token = tokens[index]
    if (token.info.trim() === 'console') {
      token.info = 'text'
      return fence(tokens, index, ...rest)
        .replace('class="language-text', 'class="language-text console')
        .replace(/<span class="line">(?=<span>(\$|&gt;|&#x3E;|>) )/g, '<span class="line prompt">')
    }
    if (token.info.trim() !== 'mermaid') return fence(tokens, index, ...rest)
    const source = md.utils.escapeHtml(token.content)
    return `<Diagram source="${encodeURIComponent(token.content)}"><pre class="diagram-source" v-pre>${source}</pre></Diagram>\n`
  }
  md.renderer.rules.table_open = () => '<div class="scroll" tabindex="0"><table>\n'
  md.renderer.rules.table_close = () => '</table></div>\n'
}
