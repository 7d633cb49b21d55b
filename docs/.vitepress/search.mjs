// How the search box finds things. VitePress sends these functions to the browser as text, so each
// one must stand alone: it may use nothing but its arguments.

/** The words of a text, for the index: "back-pressure" is found by back, pressure and backpressure. */
function indexWords(text) {
  const words = text.split(/[\n\r\p{Z}\p{P}\p{S}]+/u)
  const compounds = text.match(/[\p{L}\p{N}]+(?:[-\u2010\u2011][\p{L}\p{N}]+)+/gu) ?? []
  return [...words, ...compounds.map((word) => word.replace(/[^\p{L}\p{N}]/gu, ''))].filter(Boolean)
}

/** The words of a query. All of them have to be found. */
function queryWords(text) {
  return text.split(/[\n\r\p{Z}\p{P}\p{S}]+/u).filter(Boolean)
}

/** A word as the index keeps it, with the names under which a reader may look for it. */
function indexTerm(word) {
  const term = word.toLowerCase()
  const synonyms = [
    [/^(eagain|ewouldblock)$/, ['eagain', 'ewouldblock']],
    [/^starv(e|es|ed|ing|ation)$/, ['starvation', 'starve']],
    [/^(fair|unfair|fairness)$/, ['fairness']],
    [/^cancel(s|led|ling|lation|able)?$/, ['cancel', 'cancellation']],
    [/^deadlock(s|ed)?$/, ['deadlock']],
    [/^microtasks?$/, ['microtask']],
    [/^time-?outs?$/, ['timeout', 'deadline']],
    [/^descriptors?$/, ['descriptor', 'fd']]
  ]
  const more = synonyms.filter(([pattern]) => pattern.test(term)).flatMap(([, others]) => others)
  return [...new Set([term, ...more])]
}

function queryTerm(word) {
  return word.toLowerCase()
}

export const search = {
  detailedView: true,
  miniSearch: {
    options: { tokenize: indexWords, processTerm: indexTerm },
    searchOptions: {
      tokenize: queryWords,
      processTerm: queryTerm,
      combineWith: 'AND',
      prefix: true,
      fuzzy: 0.15,
      boost: { title: 5, titles: 2, text: 1 }
    }
  }
}
