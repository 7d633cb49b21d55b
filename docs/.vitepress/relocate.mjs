// VitePress builds a site for one fixed address. This lets the finished site stand at any address:
// pages get relative links, and scripts find out at run time where they are.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

export const placeholder = '/at-any-address/'

function relocatePage(text, depth) {
  const up = '../'.repeat(depth) || './'
  // Before every other script: the address of the folder that this site stands in.
  const base = `<script>__BASE__=new URL("${up}",location.href).pathname</script>`
  return text
    .replace('<head>', `<head>\n    ${base}`)
    .replace(/(__VP_SITE_DATA__=(?:JSON\.parse\("(?:[^"\\]|\\.)*"\)|deserializeFunctions\(JSON\.parse\("(?:[^"\\]|\\.)*"\)\)))/, '$1;__VP_SITE_DATA__.base=__BASE__')
    .replaceAll(`="${placeholder}`, `="${up}`)
}

function relocateScript(text) {
  if (text.includes(`:"${placeholder}`)) {  // the search index: one long text
    return text.replace(/export ?\{(\w+) as default\};?\s*$/, `export default $1.replaceAll("${placeholder}",__BASE__);`)
  }
  return text.replaceAll(new RegExp(`"${placeholder}([^"\\\\]*)"`, 'g'), '(__BASE__+"$1")')
}

export function relocate(folder, depth = 0) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const file = join(folder, entry.name)
    if (entry.isDirectory()) {
      relocate(file, depth + 1)
      continue
    }
    const change = {
      html: (text) => relocatePage(text, depth),
      js: relocateScript,
      css: (text) => text.replaceAll(`${placeholder}assets/`, './')
    }[entry.name.split('.').pop()]
    if (!change) continue
    const before = readFileSync(file, 'utf8')
    const after = change(before)
    if (after !== before) writeFileSync(file, after)
  }
}
