// The finished book in a real browser: make book-test.
//
//     book_test.mjs SITE MODULES [SCREENSHOTS]
//
// Serves SITE at a sub-path of 127.0.0.1, opens every page in Chromium (CHROMIUM names another one
// than /usr/bin/chromium), and prints what is wrong. With SCREENSHOTS, a folder, pictures too.
import { createReadStream, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { extname, join, normalize, resolve } from 'node:path'

const [site, modules, screenshots] = process.argv.slice(2)
const { chromium } = createRequire(resolve(modules, '..', 'x.js'))('playwright-core')

const SUB_PATH = '/some/sub/path/'
const PHONE = { width: 390, height: 844 }
const DESK = { width: 1280, height: 900 }
const types = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml', '.woff2': 'font/woff2', '.json': 'application/json' }

const problems = []
let checks = 0
function check(good, what) {
  checks += 1
  if (!good) problems.push(what)
  if (!good) console.log('  ' + what)
}

/** A file server that knows nothing but files: no rewriting, no clean addresses. */
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
  viewport: DESK
})

/** Opens a page and collects what the browser complains about. */
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
    check(own, `${where}: asks somebody else: ${request.url()}`)
  })
  await page.goto(home + path, { waitUntil: 'networkidle', timeout: 120000 })
  // Until the diagrams are drawn, Mermaid keeps its sketches in the page.
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

async function everyPageLoads() {
  for (const path of [...reading, ...some]) {
    const page = await open(path)
    check((await page.locator('h1').count()) >= 1, `${path}: has no heading`)
    check((await page.locator('.diagram-source').count()) === 0, `${path}: a diagram is not drawn`)
    check(!(await page.content()).includes('<!-- run'), `${path}: shows a directive`)
    for (const size of [DESK, PHONE]) {
      await page.setViewportSize(size)
      const wide = await overflow(page)
      check(wide <= 0, `${path}: ${wide} px too wide at ${size.width} px`)
    }
    const dead = await page.evaluate(() => [...document.images].filter((image) => image.complete && image.naturalWidth === 0).length)
    check(dead === 0, `${path}: ${dead} pictures do not load`)
    await page.close()
  }
}

async function darkIsDark() {
  for (const scheme of ['light', 'dark']) {
    const page = await open('01-blocking-read.html', { scheme })
    const [background] = (await page.evaluate(() => getComputedStyle(document.body).backgroundColor)).match(/\d+/)
    check(scheme === 'dark' ? background < 64 : background > 192, `${scheme}: the background is ${background}`)
    await page.close()
  }
}

async function searchFinds() {
  const page = await open('')
  await page.keyboard.press('Control+k')
  await page.fill('#localsearch-input', 'edge-triggered')
  const result = page.locator('.VPLocalSearchBox .result').first()
  await result.waitFor({ timeout: 60000 }).catch(() => {})
  check((await result.count()) === 1, 'search finds nothing for "edge-triggered"')
  await result.click().catch(() => check(false, 'a search result cannot be clicked'))
  await page.waitForURL(/\.html/, { timeout: 60000 }).catch(() => {})
  check(page.url().startsWith(home) && page.url().includes('.html'), `a search result leads to ${page.url()}`)
  await page.waitForLoadState('networkidle')
  check((await page.locator('h1').textContent()) !== '404', 'a search result leads nowhere')
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
      for (let at = 1; at < last; at++) {  // at no step a page that is too wide
        await page.keyboard.press('ArrowRight')
      }
      await page.setViewportSize(PHONE)
      check((await overflow(page)) <= 0, `${path}: the stepper is too wide at ${PHONE.width} px`)
      await page.setViewportSize(DESK)
    }
    await page.close()
  }
  console.log(`${found} steppers`)
  return found
}

async function readableWithoutJavaScript() {
  const context = await browser.browser()?.newContext({ javaScriptEnabled: false })
  if (!context) return
  const page = await context.newPage()
  for (const path of reading.filter((name) => /^0\d-/.test(name))) {
    await page.goto(home + path, { timeout: 120000 })
    const text = await page.locator('main').innerText()
    check(text.includes('Recap') || text.length > 2000, `${path}: cannot be read without JavaScript`)
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
