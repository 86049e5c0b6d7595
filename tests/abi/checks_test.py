"""checks_test.py: the house checks of tools/ must be able to fail. Each is run over a small copy of the tree, once as it is
made and once for each kind of fault put into it, and must name the fault."""

import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PAGE = r""".TH THRUM_ONE 3
.SH NAME
thrum_one \- does one thing
.SH SYNOPSIS
.nf
#include <thrum/one.h>

int thrum_one(int x);
.fi
.SH EXAMPLE
.EX
#include <thrum/one.h>

int main(void)
{
    return thrum_one(1) \- THRUM_UNIT;
}
.EE
"""
HEADER = """#ifndef THRUM_ONE_H
#define THRUM_ONE_H
#define THRUM_API
#define THRUM_UNIT 1
THRUM_API int thrum_one(int x);
#endif
"""
SOURCE = "#include \"wire/one.h\"\n#include <string.h>\nint one(void);\nint one(void)\n{\n    return 1;\n}\n"


class Checks(unittest.TestCase):
    def setUp(self):
        self.place = tempfile.TemporaryDirectory()
        self.addCleanup(self.place.cleanup)
        self.top = pathlib.Path(self.place.name)
        shutil.copytree(ROOT / "tools", self.top / "tools", ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("size", "twins"):
            (self.top / "tools" / f"{name}-exceptions.txt").write_text("# none\n", encoding="utf-8")
        self.write("src/wire/one.c", SOURCE)
        self.write("src/wire/one.h", "/* one */\n")
        self.write("tests/wire/one_test.c", "/* tests */\n")
        self.write("include/thrum/one.h", HEADER)
        self.write("docs/man/thrum_one.3", PAGE)

    def write(self, path, text):
        (self.top / path).parent.mkdir(parents=True, exist_ok=True)
        (self.top / path).write_text(text, encoding="utf-8")

    def run_check(self, name, *arguments):
        return subprocess.run([self.top / "tools" / f"check-{name}", *arguments], capture_output=True, text=True,
                              check=False)

    def passes(self, name, *arguments):
        ran = self.run_check(name, *arguments)
        self.assertEqual(ran.returncode, 0, ran.stdout + ran.stderr)

    def finds(self, name, what, *arguments):
        ran = self.run_check(name, *arguments)
        self.assertEqual(ran.returncode, 1, ran.stdout + ran.stderr)
        self.assertIn(what, ran.stdout)

    def test_layers_of_includes(self):
        self.passes("layers")
        for line in ('#include "net/stream.h"', '#include "base/mem.h"', "#include <thrum/thrum.h>", "#include <stdlib.h>",
                     "#  include <errno.h>"):
            self.write("src/wire/one.c", SOURCE + line + "\n")
            self.finds("layers", f"src/wire/one.c:8: wire may not include {line.split()[-1]}")
        self.write("src/wire/one.c", SOURCE)
        self.write("src/attic/one.c", "")
        self.finds("layers", "src/attic")
        shutil.rmtree(self.top / "src" / "attic")
        self.write("examples/one.c", '#include "wire/one.h"\n')
        self.finds("layers", "examples/one.c:1: examples may not include")

    def test_layers_of_symbols(self):
        def objects(wire):
            for room, code in (("wire", wire), ("proto", "int two(void) { return one(); }")):
                folder = self.top / "build" / "CMakeFiles" / f"thrum_{room}.dir"
                folder.mkdir(parents=True, exist_ok=True)
                source = f"int one(void); int two(void); void *malloc(unsigned long); {code}"
                subprocess.run(["cc", "-fno-builtin", "-c", "-x", "c", "-", "-o", folder / "one.c.o"], input=source,
                               text=True, check=True)
            return self.top / "build"

        self.passes("layers", objects("int one(void) { return 1; }"))
        self.finds("layers", "src/wire/one.c: calls malloc", objects("int one(void) { return malloc(1) != 0; }"))
        # Downwards is fine, upwards is not.
        self.finds("layers", "src/wire/one.c: calls two", objects("int one(void) { return two(); }"))

    def test_size(self):
        self.passes("size")
        for lines, found in ((117, False), (118, True)):  # with the head and the braces 120 and 121
            body = "".join(f"    x += {i};\n" for i in range(lines - 1))
            self.write("src/wire/long.c", f"int big(int x)\n{{\n{body}    return x;\n}}\n")
            if found:
                self.finds("size", "src/wire/long.c:1: big has 121 lines")
            else:
                self.passes("size")
        self.write("tools/size-exceptions.txt", "src/wire/long.c:big a table of all cases\n")
        self.passes("size")
        self.write("tools/size-exceptions.txt", "src/wire/long.c:big\n")
        self.finds("size", "needs its reason")
        self.write("src/wire/long.c", "int x;\n" * 1000)
        self.write("tools/size-exceptions.txt", "")
        self.passes("size")
        self.write("src/wire/long.c", "int x;\n" * 1001)
        self.finds("size", "src/wire/long.c: 1001 lines")
        self.write("src/wire/long.c", "int x;\n")
        self.write("tools/size-exceptions.txt", "src/wire/long.c was long\n")
        self.finds("size", "drop the line")

    def test_twins(self):
        self.passes("twins")
        self.write("src/wire/two.c", "int two;\n")
        self.finds("twins", "src/wire/two.c: has no tests/wire/two_test.c")
        self.write("tools/twins-exceptions.txt", "src/wire/two.c covered by one_test.c: it is data\n")
        self.passes("twins")
        self.write("tools/twins-exceptions.txt", "src/wire/two.c\n")
        self.finds("twins", "needs its reason")
        self.write("tools/twins-exceptions.txt", "src/wire/one.c no reason any more\n")
        self.finds("twins", "drop the line")
        self.write("tools/twins-exceptions.txt", "src/wire/gone.c a reason\n")
        self.finds("twins", "there is no src/wire/gone.c")

    def test_docs(self):
        self.passes("docs")
        page = "docs/man/thrum_one.3"
        for old, new, what in (("int thrum_one(int x);", "long thrum_one(int x);", "SYNOPSIS"),
                               ("return thrum_one(1)", "return thrum_one(\"1\")", "EXAMPLE"),
                               ("int main(void)\n{", "int main(void)\n{\n    int unused;", "EXAMPLE"),
                               (".EX", ".PP", "has no .SH EXAMPLE"),
                               ("does one thing", "does one THRUM_E_THING", "names THRUM_E_THING"),
                               ("thrum_one \\- does", "thrum_two \\- does", "NAME section")):
            self.assertIn(old, PAGE)
            self.write(page, PAGE.replace(old, new))
            self.finds("docs", what)
        self.write(page, PAGE.replace("does one thing", "does what THRUM_ENVIRONMENT says"))
        self.finds("docs", "names THRUM_ENVIRONMENT")
        self.write("include/thrum/one.h", HEADER.replace("#endif", "/* heeds THRUM_ENVIRONMENT */\n#endif"))
        self.passes("docs")
        self.write(page, PAGE)
        self.write("docs/man/thrum_two.3", ".so man3/thrum_one.3\n")
        self.finds("docs", "does not name thrum_two")
        (self.top / "docs/man/thrum_two.3").unlink()
        self.write("include/thrum/two.h", "THRUM_API int thrum_two(void);\n")
        self.finds("docs", "docs/man/thrum_two.3 is missing")

    def test_docs_of_markdown(self):
        block = "```c\n#include <thrum/one.h>\nint main(void)\n{\n    return thrum_one(1);\n}\n```\n"
        self.write("README.md", "[page](docs/man/thrum_one.3) [out](https://example.org/x)\n" + block)
        self.passes("docs")
        self.write("README.md", "[page](docs/man/thrum_gone.3)\n")
        self.finds("docs", "README.md: links to docs/man/thrum_gone.3")
        self.write("README.md", block.replace("thrum_one(1)", "thrum_gone(1)"))
        self.finds("docs", "README.md: an example does not compile")

    def test_headers(self):
        self.passes("headers")
        for wrong in ("size_t thrum_size;\n", "static int thrum_unused(void) { return 1; }\n",
                      "typedef struct thrum_class { int class; } thrum_class;\n"):
            self.write("include/thrum/one.h", HEADER.replace("#endif\n", wrong + "#endif\n"))
            self.finds("headers", "include/thrum/one.h does not compile alone")

    def library(self, code, header=HEADER, layout="puts(\"struct 8\");"):
        """A build of a library out of code, with the interface that setUp wrote down unless told otherwise."""
        build = self.top / "build"
        (build / "tests" / "abi").mkdir(parents=True, exist_ok=True)
        (self.top / "tests" / "abi").mkdir(parents=True, exist_ok=True)
        self.write("include/thrum/one.h", header)
        for arguments, source in ((["-fPIC", "-fvisibility=hidden", "-c", "-o", build / "one.o"], code),
                                  (["-o", build / "tests" / "abi" / "layout"],
                                   f"#include <stdio.h>\nint main(void) {{ {layout} return 0; }}")):
            subprocess.run(["cc", "-x", "c", "-", *arguments], input=source, text=True, check=True)
        subprocess.run(["cc", "-shared", build / "one.o", "-o", build / "libthrum.so"], check=True)
        (build / "libthrum.a").unlink(missing_ok=True)
        subprocess.run(["objcopy", "--localize-hidden", build / "one.o"], check=True)
        subprocess.run(["ar", "cr", build / "libthrum.a", build / "one.o"], check=True)
        return build

    def test_symbols(self):
        api = "__attribute__((visibility(\"default\")))"
        code = f"{api} int thrum_one(int x) {{ return x; }} int hidden(void) {{ return 1; }}"
        build = self.library(code)
        self.finds("symbols", "if it is meant", build)
        self.passes("symbols", "--update", build)
        self.passes("symbols", build)
        self.finds("symbols", "libthrum.so exports conn_free: only names with thrum_",
                   self.library(code + f"{api} int conn_free(void) {{ return 1; }}"))
        self.finds("symbols", "thrum_two, which no public header declares",
                   self.library(code + f"{api} int thrum_two(void) {{ return 1; }}"))
        self.finds("symbols", "no longer has `thrum_one`", self.library("int hidden(void) { return 1; }"))
        self.finds("symbols", "thrum_two is declared in a public header and not in libthrum.so",
                   self.library(code, HEADER.replace("#endif", "THRUM_API int thrum_two(void);\n#endif")))
        self.finds("symbols", "no longer has `struct 8`", self.library(code, layout="puts(\"struct 16\");"))
        self.finds("symbols", "layout: a gap", self.library(code, layout="puts(\"struct 8\"); fputs(\"a gap\\n\", stderr);"))
        build = self.library(code)
        subprocess.run(["cc", "-x", "c", "-c", "-", "-o", build / "two.o"], input="int two(void) { return 2; }", text=True,
                       check=True)
        subprocess.run(["ar", "r", build / "libthrum.a", build / "two.o"], check=True, stderr=subprocess.DEVNULL)
        self.finds("symbols", "libthrum.a and libthrum.so differ by two", build)


if __name__ == "__main__":
    sys.exit(unittest.main())
