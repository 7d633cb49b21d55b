import { defineConfig } from 'vitepress'
import { groups, siteFile, title } from './course.mjs'
import { course, slugify } from './markdown.mjs'
import { placeholder, relocate } from './relocate.mjs'
import { search } from './search.mjs'

// A link to the repository appears only if there is one: make book BOOK_REPOSITORY=https://...
const repository = process.env.BOOK_REPOSITORY

const link = (file) => '/' + siteFile(file).replace(/(index)?\.md$/, '')

const sidebar = groups().map(([text, files]) => ({
  text,
  items: files.map((file) => ({
    text: file === 'README.md' ? 'How to use this course' : title(file),
    link: link(file)
  }))
}))

export default defineConfig({
  title: title('README.md'),
  description: 'A course in C++ that builds asynchronous programming from the bottom up',
  lang: 'en',
  srcDir: 'pages',
  outDir: 'site',
  cacheDir: 'cache',
  base: placeholder,
  head: [
    ['link', { rel: 'icon', href: "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E%3Cpath d='M4 8h24M4 16h10m4 0h10M4 24h24' stroke='%230d9488' stroke-width='5' stroke-linecap='round'/%3E%3C/svg%3E" }]
  ],
  markdown: {
    config: course,
    anchor: { slugify },
    theme: { light: 'github-light', dark: 'github-dark' }
  },
  themeConfig: {
    search: { provider: 'local', options: search },
    nav: [
      { text: 'Chapters', link: '/01-blocking-read' },
      { text: 'Glossary', link: '/glossary' }
    ],
    socialLinks: repository ? [{ icon: 'github', link: repository }] : [],
    sidebar,
    outline: { level: [2, 3], label: 'On this page' },
    docFooter: { prev: 'Previous page', next: 'Next page' }
  },
  // Mermaid and the search index are large, and are loaded only when they are needed.
  vite: { build: { chunkSizeWarningLimit: 2000 } },
  buildEnd: (site) => relocate(site.outDir)
})
