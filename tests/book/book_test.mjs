// Tests the finished book in a real browser: make book-test.
//
//     book_test.mjs SITE MODULES [SCREENSHOTS]
//
// Serves SITE below a sub-path of 127.0.0.1, opens every page in Chromium (the variable CHROMIUM
// names another one than /usr/bin/chromium), measures every block, table and picture, and prints
// what is wrong. With SCREENSHOTS, a folder, it only takes pictures.
import { createReadStream, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { extname, join, normalize, resolve } from 'node:path'

const [site, modules, screenshots] = process.argv.slice(2)
const { chromium } = createRequire(resolve(modules, '..', 'x.js'))('playwright-core')

const SUB_PATH = '/some/sub/path/'
const PHONE = { width: 390, height: 844 }
const DESK = { width: 1280, height: 900 }
const SIZES = [PHONE, DESK, { width: 1440, height: 900 }, { width: 1920, height: 1080 }]
const SMALLEST_TEXT = 11  // px, in figures
const types = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml', '.woff2': 'font/woff2', '.json': 'application/json' }

const problems = []
let checks = 0
function check(good, what) {
  checks += 1
  if (!good) problems.push(what)
  if (!good) console.log('  ' + what)
}

/** A file server without any rewriting of addresses, like the simplest host. */
const server = createServer((request, response) => {
  const path = decodeURIComponent(new URL(request.url, 'http://x').pathname)
  let file = path.startsWith(SUB_PATH) ? join(site, normalize(path.slice(SUB_PATH.length))) : ''
  if (file && existsSync(file) && statSync(file).isDirectory()) file = join(file, 'index.html')
  if (!file || !existsSync(file)) return response.writeHead(404).end('no such file')
  response.writeHead(200, { 'content-type': types[extname(file)] ?? 'application/octet-stream' })
  createReadStream(file).pipe(response)
})
await new Promise((listening) => server.listen(0, '127.0.0.1', listening))
const home = `http://127.0.0.1:${server.address().port}${SUB_PATH}`

const profile = mkdtempSync(join(tmpdir(), 'book-'))
const flags = '--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync'
const browser = await chromium.launchPersistentContext(profile, {
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: flags.split(' '),
  ignoreDefaultArgs: ['--hide-scrollbars'],
  permissions: ['clipboard-read', 'clipboard-write'],
  viewport: DESK
})

/** Opens a page and records every complaint of the browser. */
async function open(path, { size = DESK, scheme = 'light' } = {}) {
  const page = await browser.newPage()
  await page.setViewportSize(size)
  await page.emulateMedia({ colorScheme: scheme })
  const where = `${path || 'the first page'} (${size.width} px, ${scheme})`
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) check(false, `${where}: the console says: ${message.text()}`)
  })
  page.on('pageerror', (error) => check(false, `${where}: ${error.message}`))
  page.on('requestfailed', (request) => {
    // Leaving a page ends what it was still fetching.
    if (request.failure()?.errorText !== 'net::ERR_ABORTED') check(false, `${where}: cannot load ${request.url()}`)
  })
  page.on('response', (response) => check(response.status() < 400, `${where}: ${response.status()} for ${response.url()}`))
  page.on('request', (request) => {
    const own = request.url().startsWith(home) || request.url().startsWith('data:')
    check(own, `${where}: fetches from another site: ${request.url()}`)
  })
  await page.goto(home + path, { waitUntil: 'networkidle', timeout: 120000 })
  // Mermaid keeps its sketches in the page until the diagrams are drawn.
  await page.locator('.diagram-source').first().waitFor({ state: 'detached', timeout: 60000 }).catch(() => {})
  return page
}

const overflow = (page) =>
  page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)

function pagesBelow(folder, prefix = '') {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    if (entry.isDirectory()) return entry.name === 'assets' ? [] : pagesBelow(join(folder, entry.name), `${prefix}${entry.name}/`)
    return entry.name.endsWith('.html') && entry.name !== '404.html' ? [prefix + entry.name] : []
  })
}

const all = pagesBelow(site)
const reading = all.filter((page) => !page.startsWith('source/'))
const some = all.filter((page) => page.startsWith('source/')).slice(0, 6)
console.log(`${all.length} pages, of which ${all.length - reading.length} show a file of the code`)

// --- Is everything on a page visible? -----------------------------------------------------------

/** Runs in the page: every block of code, table and picture, and by how many px it is cut off. */
function measureInPage() {
  for (const details of document.querySelectorAll('main details')) details.open = true
  const found = []
  const add = (kind, box, text, more = {}) => {
    const cut = box.scrollWidth - box.clientWidth
    const bar = cut > 0 ? box.offsetHeight - box.clientHeight : 0
    found.push({ kind, cut, bar, name: text.trim().replace(/\s+/g, ' ').slice(0, 60), ...more })
  }
  for (const pre of document.querySelectorAll('main pre')) {
    if (pre.closest('.diagram')) continue
    const block = pre.closest('[class*="language-"]')
    const code = /language-(cpp|c\+\+|python|js|make)\b/.test(block?.className ?? '')
    add(code ? 'code' : 'text', pre, pre.textContent)
  }
  for (const table of document.querySelectorAll('main table')) {
    const broken = [...table.querySelectorAll('code')].filter((code) => code.getClientRects().length > 1 && !/^(?=.{25}).* /.test(code.textContent))
    add('table', table.parentElement, table.textContent, { broken: broken.map((code) => code.textContent) })
  }
  for (const svg of document.querySelectorAll('main .diagram > svg')) {
    const scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width
    add('diagram', svg.parentElement, svg.textContent.replace(/^[^]*?\}\s*(?=[^{}]*$)/, ''), { scale })
  }
  for (const image of document.querySelectorAll('main p > img')) {
    add('figure', image.parentElement, image.src.split('/').pop(), { source: image.src, width: image.getBoundingClientRect().width })
  }
  return found
}

/** The smallest text of an SVG file, in units of its viewBox; and how wide that is. */
function figureText(file) {
  const svg = readFileSync(file, 'utf8')
  const width = Number(svg.match(/viewBox="\S+ \S+ ([\d.]+)/)[1])
  const sizes = [...svg.matchAll(/font(?:-size)?[:=]\s*"?(?:[\w]+ )*([\d.]+)(?:px)?[ ;"]/g)].map(([, size]) => Number(size))
  return { width, smallest: Math.min(...sizes.filter((size) => size > 4)) }
}

const totals = {}  // "code at 1280 px": [measured, cut off]

/** At 1280 px and more nothing may be cut off; on a phone a block may scroll, with a visible bar. */
async function everythingIsVisible(page, path) {
  for (const size of SIZES) {
    await page.setViewportSize(size)
    await page.waitForTimeout(50)
    const wide = await overflow(page)
    check(wide <= 0, `${path}: the page is ${wide} px too wide at ${size.width} px`)
    for (const { kind, name, cut, bar, broken, scale, width, source } of await page.evaluate(measureInPage)) {
      const total = (totals[`${kind} at ${size.width} px`] ??= [0, 0])
      total[0] += 1
      if (cut > 0) total[1] += 1
      const what = `${path} at ${size.width} px: ${kind} "${name}"`
      check(size === PHONE || cut <= 0, `${what}: cut off by ${cut} px`)
      check(cut <= 0 || bar > 0, `${what}: scrolls, and shows no scroll bar`)
      for (const code of broken ?? []) check(false, `${what}: "${code}" is broken over two lines`)
      check(!(scale < 0.79), `${what}: drawn at ${Math.round(scale * 100)} % of its size`)
      if (kind === 'figure' && source.endsWith('.svg')) {
        const figure = figureText(join(site, source.slice(home.length)))
        const text = (figure.smallest * width) / figure.width
        check(text >= SMALLEST_TEXT, `${what}: its text is ${text.toFixed(1)} px high, less than ${SMALLEST_TEXT}`)
      }
    }
  }
}

function printTotals() {
  console.log('what was measured      ' + SIZES.map(({ width }) => `${width} px`.padStart(16)).join(''))
  for (const kind of ['code', 'text', 'table', 'diagram', 'figure']) {
    const cells = SIZES.map(({ width }) => {
      const [count, cut] = totals[`${kind} at ${width} px`] ?? [0, 0]
      return `${count}, ${cut} cut`.padStart(16)
    })
    console.log(`  ${kind.padEnd(21)}` + cells.join(''))
  }
}

/** Runs in the page: elements that touch although there was a line end between them. */
function missingSpaces() {
  return [...document.querySelectorAll('main :is(p, li, td) > :is(strong, em, code, a)')]
    .filter((element) => {
      const next = element.nextSibling
      return next?.nodeType === 1 && /^(STRONG|EM|CODE|A)$/.test(next.tagName) && !next.matches('.header-anchor') &&
        /[\w:,.;]$/.test(element.textContent) && /^\w/.test(next.textContent)
    })
    .map((element) => element.parentElement.textContent.slice(0, 60))
}

async function everyPageLoads() {
  for (const path of [...reading, ...some]) {
    const page = await open(path)
    check((await page.locator('h1').count()) >= 1, `${path}: has no heading`)
    check((await page.locator('.diagram-source').count()) === 0, `${path}: a diagram is not drawn`)
    check(!(await page.content()).includes('<!-- run'), `${path}: shows a directive`)
    for (const text of await page.evaluate(missingSpaces)) check(false, `${path}: a space is missing in "${text}"`)
    await everythingIsVisible(page, path)
    await page.setViewportSize(DESK)
    const dead = await page.evaluate(() => [...document.images].filter((image) => image.complete && image.naturalWidth === 0).length)
    check(dead === 0, `${path}: ${dead} pictures do not load`)
    await outlineIsWhole(page, path)
    await copiesCommandsOnly(page, path)
    await page.close()
  }
  printTotals()
}

async function outlineIsWhole(page, path) {
  const cut = await page.evaluate(() =>
    [...document.querySelectorAll('.VPDocAsideOutline .outline-link')]
      .filter((link) => link.scrollWidth > link.clientWidth || link.getBoundingClientRect().right > innerWidth)
      .map((link) => link.textContent)
  )
  for (const heading of cut) check(false, `${path}: "${heading}" is cut off in the outline`)
}

/** What one would type to repeat a transcript: the lines after "$ ", with those after "> " below them. */
function commandsOf(transcript) {
  const commands = []
  let continued = false
  for (const line of transcript.split('\n')) {
    const command = line.startsWith('$ ') || (continued && line.startsWith('> '))
    if (command) commands.push(line.slice(2))
    continued = command
  }
  return commands.join('\n')
}

let consoles = 0

async function copiesCommandsOnly(page, path) {
  await page.evaluate(() => {
    navigator.clipboard.writeText = async (text) => { window.copied = text }
  })
  for (const block of await page.locator('main div.console').all()) {
    const shown = await block.locator('pre').evaluate((pre) => pre.textContent)
    const commands = commandsOf(shown)
    await block.locator('button.copy').evaluate((button) => button.click())
    const copied = await page.evaluate(() => window.copied)
    consoles += 1
    check(copied === (commands || shown), `${path}: the copy button of "${shown.slice(0, 40)}" copies "${copied}"`)
  }
}

async function sourcePagesLeadBack() {
  const path = all.find((name) => /source\/chapters\/05.*event_loop\.hpp\.html$/.test(name))
  if (!path) return
  const page = await open(path)
  const numbers = await page.locator('.line-number').allTextContents()
  check(numbers.length > 10 && numbers[0] === '1', `${path}: has no line numbers`)
  const text = await page.locator('main pre').first().evaluate((pre) => pre.textContent)
  check(!/\/\/ (EXERCISE|END) \d/.test(text), `${path}: shows the marks of an exercise`)
  const link = page.locator('main p a').first()
  check((await link.count()) === 1, `${path}: does not link to its chapter`)
  await link.click().catch(() => {})
  await page.waitForURL(/05-callback-loop\.html/, { timeout: 60000 }).catch(() => {})
  check(page.url().includes('/05-callback-loop.html'), `${path}: its link leads to ${page.url()}`)
  await page.close()
}

async function darkIsDark() {
  for (const scheme of ['light', 'dark']) {
    const page = await open('01-blocking-read.html', { scheme })
    const [background] = (await page.evaluate(() => getComputedStyle(document.body).backgroundColor)).match(/\d+/)
    check(scheme === 'dark' ? background < 64 : background > 192, `${scheme}: the background is ${background}`)
    await page.close()
  }
}

// A query, and what one of its first three results must look like: its address and its headings.
const queries = [
  ['edge-triggered', /glossary.*#edge-triggered/],
  ['edge triggered', /edge-triggered/],
  ['epoll edge', /04-epoll|edge/],
  ['backpressure', /back-pressure|02-polling/],
  ['back-pressure', /back-pressure/],
  ['starvation', /0[4-8]-|glossary|starv|fair/],
  ['EWOULDBLOCK', /#eagain|02-polling/],
  ['EAGAIN', /#eagain/],
  ['half close', /#half-close/],
  ['symmetric transfer', /07-simulated-clock|symmetric/],
  ['thread pool', /./],
  ['call_soon', /05-callback-loop/]
]

async function searchFinds() {
  const page = await open('')
  await page.keyboard.press('Control+k')
  const results = page.locator('.VPLocalSearchBox .result')
  for (const [query, wanted] of queries) {
    await page.fill('#localsearch-input', '')
    await page.waitForTimeout(400)
    await page.fill('#localsearch-input', query)
    await results.first().waitFor({ timeout: 30000 }).catch(() => {})
    await page.waitForTimeout(1500)
    const found = await results.evaluateAll((links) =>
      links.map((link) => ({
        address: decodeURI(link.href).split('/').pop(),
        titles: link.querySelector('.titles')?.innerText.replace(/\s+/g, ' ') ?? '',
        text: link.querySelector('.excerpt')?.innerText.trim().length ?? 0
      }))
    )
    check(found.length > 0, `search finds nothing for "${query}"`)
    check(found.slice(0, 3).some(({ address }) => wanted.test(address)), `search for "${query}" finds ${found.slice(0, 3).map(({ address }) => address).join(', ')}`)
    check(found.length === 0 || found.some(({ text }) => text > 0), `search for "${query}" shows no text`)
    console.log(`  search "${query}": ${found.length} results; ${found[0]?.titles ?? 'none'}`)
  }
  await page.fill('#localsearch-input', 'edge-triggered')
  await page.waitForTimeout(1500)
  await results.first().click().catch(() => check(false, 'a search result cannot be clicked'))
  await page.waitForURL(/\.html/, { timeout: 60000 }).catch(() => {})
  check(page.url().startsWith(home) && page.url().includes('.html'), `a search result leads to ${page.url()}`)
  await page.waitForLoadState('networkidle')
  check((await page.locator('h1').textContent()) !== '404', 'a search result leads nowhere')
  await page.close()
}

async function beginLeadsIn() {
  const page = await open('')
  await page.click('.VPHero .VPButton.brand')
  await page.waitForURL(/start\.html|01-blocking-read/, { timeout: 60000 }).catch(() => {})
  check(/start\.html|01-blocking-read/.test(page.url()), `Begin leads to ${page.url()}`)
  check((await page.locator('a[href*="github.com"]:has(.vpi-social-github)').count()) === 0, 'there is a link to a repository')
  await page.close()
}

async function nextLeadsOn() {
  const page = await open('01-blocking-read.html')
  await page.click('.pager-link.next')
  await page.waitForURL(/02-polling/, { timeout: 60000 }).catch(() => {})
  check(page.url() === `${home}02-polling.html`, `after 01 comes ${page.url()}`)
  await page.close()
}

async function steppersStep() {
  let found = 0
  for (const path of reading.filter((name) => /^0[5-8]-/.test(name))) {
    const page = await open(path)
    for (const stepper of await page.locator('.stepper').all()) {
      found += 1
      const count = async () => (await stepper.locator('.count').textContent()).split('/').map(Number)
      const expect = async (wanted, how) => {
        const [at] = await count()
        check(at === wanted, `${path}: ${how} leads to step ${at}, not ${wanted}`)
      }
      const [, last] = await count()
      const live = () => stepper.locator('[aria-live]').textContent()
      const first = await live()
      await stepper.getByRole('button', { name: 'next step' }).click()
      await expect(2, 'a click on Next')
      check((await live()) !== first, `${path}: a screen reader is not told about the next step`)
      await stepper.focus()
      for (const [key, wanted] of [['ArrowRight', 3], ['ArrowLeft', 2], ['End', last], ['ArrowRight', last], ['Home', 1]]) {
        await page.keyboard.press(key)
        await expect(wanted, key)
      }
      const rows = await stepper.locator('details tbody tr').count()
      check(rows === last, `${path}: the table has ${rows} rows for ${last} steps`)
      for (const button of await stepper.getByRole('button').all()) {
        check(Boolean(await button.getAttribute('aria-label')), `${path}: a button without a label`)
      }
      for (let at = 1; at < last; at++) {  // the page must not become too wide at any step
        await page.keyboard.press('ArrowRight')
      }
      await page.setViewportSize(PHONE)
      check((await overflow(page)) <= 0, `${path}: the stepper is too wide at ${PHONE.width} px`)
      await page.setViewportSize(DESK)
    }
    await page.close()
  }
  console.log(`${found} steppers, ${consoles} consoles`)
  return found
}

async function readableWithoutJavaScript() {
  const context = await browser.browser()?.newContext({ javaScriptEnabled: false })
  if (!context) return
  const page = await context.newPage()
  for (const path of reading.filter((name) => /^0\d-/.test(name))) {
    await page.goto(home + path, { timeout: 120000 })
    const text = await page.locator('main').innerText()
    check(text.length > 2000, `${path}: cannot be read without JavaScript`)
  }
  await context.close()
}

async function takePictures() {
  mkdirSync(screenshots, { recursive: true })
  const stepped = reading.find((name) => /^0[5-8]-/.test(name))
  for (const [size, width] of [[DESK, 'desk'], [PHONE, 'phone']]) {
    for (const scheme of ['light', 'dark']) {
      for (const [name, path] of [['first', ''], ['chapter', '01-blocking-read.html'], ['stepper', stepped]]) {
        if (path === undefined) continue
        const page = await open(path, { size, scheme })
        if (name === 'stepper') {
          const stepper = page.locator('.stepper').first()
          if ((await stepper.count()) > 0) {
            await stepper.focus()
            for (let i = 0; i < 5; i++) await page.keyboard.press('ArrowRight')
            await stepper.scrollIntoViewIfNeeded()
          }
        }
        await page.screenshot({ path: join(screenshots, `${name}-${width}-${scheme}.png`) })
        await page.close()
      }
    }
  }
}

try {
  if (screenshots) {
    await takePictures()
  } else {
    await everyPageLoads()
    await darkIsDark()
    await sourcePagesLeadBack()
    await beginLeadsIn()
    await searchFinds()
    await nextLeadsOn()
    await steppersStep()
    await readableWithoutJavaScript()
  }
} catch (error) {
  check(false, `the test itself: ${error.message}`)
} finally {
  await browser.close()
  server.close()
  rmSync(profile, { recursive: true, force: true })
}
console.log(problems.length ? `${problems.length} wrong` : `the book: ${checks} checks, all good`)
process.exit(problems.length ? 1 : 0)
