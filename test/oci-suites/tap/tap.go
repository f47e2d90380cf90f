// Package tap writes the Test Anything Protocol: the calls that the runtime-tools make of the package of this name.
package tap

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

// T is one stream of results.
type T struct {
	Writer io.Writer
	next   *int
	todo   bool
}

func New() *T {
	first := 1
	return &T{Writer: os.Stdout, next: &first}
}

func (t *T) line(text string) { fmt.Fprintln(t.Writer, text) }

// Header starts the stream; with 0 the plan follows at its end.
func (t *T) Header(count int) {
	t.line("TAP version 13")
	if count > 0 {
		t.line(fmt.Sprintf("1..%d", count))
	}
}

func (t *T) AutoPlan() { t.line(fmt.Sprintf("1..%d", *t.next-1)) }

func (t *T) result(word, text string) {
	t.line(fmt.Sprintf("%s %d - %s", word, *t.next, strings.ReplaceAll(text, "\n", " ")))
	*t.next++
}

func (t *T) Ok(passed bool, text string) {
	word := "not ok"
	if passed {
		word = "ok"
	}
	if t.todo {
		text += " # TODO"
	}
	t.result(word, text)
}

func (t *T) Pass(text string) { t.Ok(true, text) }
func (t *T) Fail(text string) { t.Ok(false, text) }

func (t *T) Skip(count int, text string) {
	for i := 0; i < count; i++ {
		t.line(fmt.Sprintf("ok %d # SKIP %s", *t.next, text))
		*t.next++
	}
}

// Todo is the same stream, whose failures are expected.
func (t *T) Todo() *T {
	out := *t
	out.todo = true
	return &out
}

func (t *T) Diagnostic(text string) {
	t.line("# " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n# "))
}

func (t *T) Diagnosticf(format string, values ...interface{}) {
	t.Diagnostic(fmt.Sprintf(format, values...))
}

// YAML writes a block of details: JSON is YAML.
func (t *T) YAML(details interface{}) error {
	text, err := json.MarshalIndent(details, "  ", "  ")
	if err != nil {
		return err
	}
	t.line("  ---\n  " + string(text) + "\n  ...")
	return nil
}
