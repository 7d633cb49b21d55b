// Runs the suite of Promises/A+ against the addon: node run.js ADDON SUITE_FOLDER
// Prints how many tests passed, clause by clause; exits with 1 unless all did.
"use strict";

const path = require("path");

const addon = require(path.resolve(process.argv[2]));
const suite = require(path.resolve(process.argv[3], "node_modules/promises-aplus-tests"));

const clauses = new Map([
  ["2.1.2", "when fulfilled"],
  ["2.1.3", "when rejected"],
  ["2.2.1", "handlers are optional"],
  ["2.2.2", "onFulfilled is called once, after"],
  ["2.2.3", "onRejected is called once, after"],
  ["2.2.4", "never inside then() or resolve()"],
  ["2.2.5", "called as functions"],
  ["2.2.6", "many handlers, in order"],
  ["2.2.7", "then() returns a promise"],
  ["2.3.1", "a promise resolved with itself"],
  ["2.3.2", "adopting a promise of ours"],
  ["2.3.3.1", "thenables: reading then"],
  ["2.3.3.2", "thenables: reading then throws"],
  ["2.3.3.3", "thenables: then() is called"],
  ["2.3.3.4", "an object without then()"],
  ["2.3.4", "a plain value"],
]);

const counts = new Map([...clauses.keys()].map((clause) => [clause, { passed: 0, total: 0 }]));
const failures = [];

// The titles of nested suites begin with the number of the clause that they test.
function clauseOf(test) {
  const titles = [];
  for (let at = test; at; at = at.parent) titles.push(at.title);
  const numbers = titles.map((title) => (/^(\d(?:\.\d)+)/.exec(title) || ["", ""])[1]);
  return [...clauses.keys()].find((clause) =>
    numbers.some((number) => number === clause || number.startsWith(clause + ".")));
}

function Count(runner) {
  const count = (test) => counts.get(clauseOf(test));
  runner.on("pass", (test) => { count(test).passed += 1; count(test).total += 1; });
  runner.on("fail", (test, error) => {
    count(test).total += 1;
    failures.push(`${test.fullTitle()}: ${error.message}`);
  });
}

suite(addon, { reporter: Count }, () => {
  const sum = { passed: 0, total: 0 };
  for (const [clause, { passed, total }] of counts) {
    sum.passed += passed;
    sum.total += total;
    console.log(`${clause.padEnd(9)} ${clauses.get(clause).padEnd(36)} ` +
                `${String(passed).padStart(4)} / ${total}`);
  }
  console.log(`${"".padEnd(46)} ${String(sum.passed).padStart(4)} / ${sum.total}`);
  for (const failure of failures) console.log(`failed: ${failure}`);
  process.exit(failures.length === 0 && sum.total > 0 ? 0 : 1);
});
