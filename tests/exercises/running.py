"""Runs what the learner has written: the commands of `make ... WORK=1`.

Each chapter is built as the reference is built, from the tree of links that workshop.py makes, into
a folder that is laid out like build/. So the crowd and tests/run.py run there as they do in build/.
"""

import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys

import judge
from course import PROGRAMS, TODO_WORDS, Problem, without_comments
from ticker import Ticker
from workshop import JOBS, BuildFailed, Workshop

UNWRITTEN = re.compile(r"not finished yet: make (check-\S+)")
STUB = re.compile(r'exercise_todo\(\s*"(\d\d\.\d+) ')


def say(text="", **more):
    print(text, flush=True, **more)


class Running:
    def __init__(self, learner):
        self.learner = learner
        self.course = learner.course
        self.options = learner.options
        self.reference = pathlib.Path(self.options.get("BUILD", "build"))
        sys.path.insert(0, str(self.course.root / "tests" / "crowd"))

    # --- Building -------------------------------------------------------------------------------

    def workshop(self, chapter, optimise="-O2"):
        self.learner.need_start(chapter)
        workshop = Workshop(self.course, chapter, self.learner.folder(chapter), f"run/{chapter[:2]}",
                            f"work/{chapter}", optimise=optimise)
        try:
            workshop.check_files()
        except BuildFailed as failure:
            raise Problem(f"{failure}: make start-{chapter[:2]} copies it again") from None
        workshop.lay_out()
        return workshop

    def build(self, workshop, programs, target=None):
        """Builds {name: (files, include path)} into the folder `target`, all at the same time.
        Returns {name: program}."""
        with Ticker(workshop), concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
            objects = {name: [pool.submit(workshop.compile, file, self.objects(workshop, include),
                                          include) for file in files] for name, (files, include) in programs.items()}
            workshop.files = sum(map(len, objects.values()))
            try:
                return {name: workshop.link_program([part.result() for part in parts],
                                                    (target or workshop.folder) / name)
                        for name, parts in objects.items()}
            except BuildFailed as failure:
                pool.shutdown(cancel_futures=True)
                say(judge.folded(str(failure), ""))
                number = workshop.chapter[:2]
                raise Problem(f"work/{workshop.chapter} does not compile: make check-{number}") from None

    def objects(self, workshop, include):
        """Where what is compiled with this include path is kept."""
        return (workshop.folder if include == workshop.tree else workshop.shared) / "obj"

    def program(self, workshop, name, source):
        place = workshop.tree / "chapters" / workshop.chapter / source
        return self.build(workshop, {name: ([place], workshop.tree)})[name]

    def sources(self, chapter):
        """{program: file} of the chapter's main programs."""
        others = {name: file for name, file in PROGRAMS.items() if name[:2] == chapter[:2]}
        return {chapter: "main.cpp", **others}

    # --- The crowd ------------------------------------------------------------------------------

    def run(self, where):
        """One chapter: the learner's servers beside the course's, and drawn. The tour: every chapter
        that is started."""
        import crowd
        import picture
        if where and crowd.CLOCK.startswith(where):
            return self.clock(where)
        chapters = self.chapters(where)
        names = [name for chapter in chapters for name in crowd.SERVERS if name[:2] == chapter[:2]]
        programs = {name: self.built(name) for name in names}
        crowd.raise_descriptor_limit()
        style = picture.Style.of(sys.stdout)
        say(picture.table_header(style, crowd.crowd()))
        results = []
        for name in names:
            say(picture.row_begin(name, "yours"), end="")
            results.append(self.measure(crowd, programs[name]))
            say(picture.row_end(style, results[-1]))
            if (self.reference / name).exists():
                say(picture.row_begin(name, "the course's"), end="")
                say(picture.row_end(style, self.measure(crowd, self.reference / name)))
        for result in results if where else []:
            if result.clients and not UNWRITTEN.search(result.failure or ""):
                say(picture.timeline(style, result, "yours"))
        say(f"\nNext: make {self.next(where, results)}")
        return crowd.exit_status(results)

    def chapters(self, where):
        """The chapter that is named, or all that are started."""
        chapters = [self.course.chapter(where)] if where else list(
            filter(self.learner.started, self.course.chapters))
        if not chapters:
            raise Problem(f"nothing is started yet: make start-{self.learner.next_chapter()[:2]}")
        for chapter in chapters:
            self.learner.need_start(chapter)
        return chapters

    def built(self, name):
        """The learner's server, or, in the tour, a Problem that says why there is none."""
        chapter = self.course.chapter(name[:2])
        try:
            return self.program(self.workshop(chapter), name, self.sources(chapter)[name])
        except Problem as problem:
            return problem

    def measure(self, crowd, program):
        if isinstance(program, Problem):
            return crowd.Result("", 0.0, failure=str(program))
        result = crowd.measure(program.resolve(), 6.0)
        hole = re.search(rf"(\d\d\.\d+) {TODO_WORDS}", result.failure or "")
        if hole:
            result.failure = f"not finished yet: make check-{hole[1]}"
        return result

    def next(self, where, results):
        """The command to type after a run."""
        for result in results:
            unwritten = UNWRITTEN.search(result.failure or "")
            if unwritten:
                return unwritten[1]
        if any(result.failure for result in results):
            return f"check-{where}" if where else "check"
        return "run WORK=1   (all that you have written)" if where else "progress"

    def clock(self, where):
        chapter = self.course.chapter(where)
        program = self.program(self.workshop(chapter), chapter, "main.cpp")
        ended = subprocess.run([program, *self.options.get("ARGS", "").split()], check=False,
                               timeout=60).returncode
        say(f"\nNext: make check-{where}" if ended else "\nNext: make run WORK=1")
        return 1 if ended else 0

    # --- Single programs ------------------------------------------------------------------------

    def serve(self, where):
        name = next((name for name in PROGRAMS if name[3:] == where), None)
        chapter = self.course.chapter(name[:2] if name else where)
        name = name or chapter
        program = self.program(self.workshop(chapter), name, self.sources(chapter)[name])
        self.become(program, "--port", self.options.get("PORT", "7000"))

    def step(self, where):
        self.single(where, "steps")

    def wrong(self, where):
        os.environ["SANITIZE"] = "address,undefined"
        self.single(where, "wrong")

    def single(self, where, folder):
        number, _, which = where.partition(".")
        chapter = self.course.chapter(number)
        found = list((self.course.root / "chapters" / chapter / folder).glob(f"{which}-*.cpp"))
        if not found:
            raise Problem(f"there is no {where} in chapters/{chapter}/{folder}")
        self.become(self.program(self.workshop(chapter), f"{folder}/{where}",
                                 f"{folder}/{found[0].name}"))

    def become(self, program, *arguments):
        os.execv(program, [program.name, *arguments, *self.options.get("ARGS", "").split()])

    # --- All tests of a chapter -----------------------------------------------------------------

    def test(self, where):
        if where:
            return self.test_chapter(self.course.chapter(where))
        status = 0
        for chapter in self.chapters(where):
            try:
                status |= self.test_chapter(chapter)
            except Problem as problem:
                say(f"make: {problem}")
        return status

    def test_chapter(self, chapter):
        """The chapter's own tests and the service tests, all of them against the learner's work."""
        self.learner.need_start(chapter)
        for path in self.course.files[chapter]:
            place = self.learner.folder(chapter) / path
            hole = STUB.search(without_comments(place.read_text(errors="replace"))
                               if place.exists() else "")
            if hole:
                raise Problem(f"{hole[1]} is not written yet, and the tests of chapter {chapter[:2]} "
                              f"need it: make check-{hole[1]}")
        say(f"All tests of chapter {chapter[:2]}, with your code in work/{chapter}:")
        workshop = self.workshop(chapter)
        self.build(workshop, {name: ([workshop.tree / "chapters" / chapter / file], workshop.tree)
                              for name, file in self.sources(chapter).items()})
        # The programs as the reference is built, the tests as `make test` builds them: quickly.
        quick = self.workshop(chapter, "-O0")
        root, tests = self.course.root, self.course.root / "tests"
        main = [tests / "support/main.cpp"]
        self.build(quick, {
            f"tests/{chapter}": (sorted((tests / chapter).glob("*_test.cpp")) + main, quick.tree),
            "tests/service": (sorted((tests / "service").glob("*_test.cpp")) + main, root),
        }, workshop.folder)
        workshop.build_faults()
        ended = subprocess.run(
            [sys.executable, str(tests / "run.py"), "--build", str(workshop.folder), chapter[:2]],
            env={**os.environ, "COURSE": str(workshop.tree)}, cwd=root, check=False).returncode
        say(f"\nNext: make check-{chapter[:2]}" if ended else
            f"\nNext: make run-{chapter[:2]} WORK=1")
        return 1 if ended else 0
