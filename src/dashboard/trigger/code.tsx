// The document as text, in CodeMirror. It lives in a shadow root: outside of one it puts a style element into the page, which the page's
// policy forbids; inside it uses adopted style sheets. Loaded when the code is shown first.
import { defaultKeymap, history, historyKeymap } from '@codemirror/commands'
import { json, jsonParseLinter } from '@codemirror/lang-json'
import { bracketMatching, HighlightStyle, indentOnInput, syntaxHighlighting } from '@codemirror/language'
import { linter, lintGutter } from '@codemirror/lint'
import { EditorState } from '@codemirror/state'
import { EditorView, keymap, lineNumbers } from '@codemirror/view'
import { tags } from '@lezer/highlight'
import type { JSX } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import type { Editor } from './editor.ts'

const look = EditorView.theme({
  '&': {
    fontSize: '12.5px',
    backgroundColor: 'var(--surface)',
    color: 'var(--text)',
    maxHeight: 'calc(100vh - 260px)',
  },
  '.cm-scroller': { fontFamily: 'var(--mono)', overflow: 'auto' },
  '.cm-gutters': { backgroundColor: 'var(--sunken)', color: 'var(--muted)', border: 'none' },
  '.cm-content': { caretColor: 'var(--text)' },
  '&.cm-focused': { outline: '2px solid var(--accent)' },
  '&.cm-focused .cm-selectionBackground, .cm-selectionBackground, ::selection': {
    backgroundColor: 'color-mix(in srgb, var(--accent) 28%, transparent)',
  },
  '.cm-tooltip': { backgroundColor: 'var(--surface)', color: 'var(--text)', border: '1px solid var(--line)' },
  '.cm-matchingBracket': { outline: '1px solid var(--muted)', backgroundColor: 'transparent !important' },
})

const colours = syntaxHighlighting(
  HighlightStyle.define([
    { tag: tags.propertyName, color: 'var(--blue)' },
    { tag: tags.string, color: 'var(--green)' },
    { tag: [tags.number, tags.bool, tags.null], color: 'var(--amber)' },
    { tag: tags.punctuation, color: 'var(--muted)' },
  ]),
)

/** Typing over a selection: the browser would keep the colours of what was selected as inline styles, which the page's policy blocks. */
const typeOver = EditorView.domEventHandlers({
  beforeinput: ({ inputType, data }, view) => {
    if (inputType !== 'insertText' || data === null || view.state.selection.main.empty || view.state.readOnly)
      return false
    view.dispatch(view.state.replaceSelection(data), { userEvent: 'input.type', scrollIntoView: true })
    return true
  },
})

export default function Code({ editor, isReadOnly }: { editor: Editor; isReadOnly: boolean }): JSX.Element {
  const box = useRef<HTMLDivElement>(null)
  useEffect(() => {
    const shadow = box.current!.shadowRoot ?? box.current!.attachShadow({ mode: 'open' })
    const view = new EditorView({
      parent: shadow,
      root: shadow,
      state: EditorState.create({
        doc: editor.text.peek(),
        extensions: [
          lineNumbers(),
          history(),
          indentOnInput(),
          bracketMatching(),
          json(),
          lintGutter(),
          linter(jsonParseLinter()),
          // Tab is left to the browser, so the keyboard gets out of the editor. Ctrl+Enter is a new line by default.
          keymap.of([
            { key: 'Mod-Enter', run: () => editor.runs.value++ >= 0 },
            ...defaultKeymap,
            ...historyKeymap,
          ]),
          EditorView.contentAttributes.of({ 'aria-label': 'Trigger as JSON', tabindex: '0' }),
          typeOver,
          EditorView.updateListener.of(update => {
            if (!update.docChanged) return
            const text = update.state.doc.toString()
            if (text !== editor.text.peek()) editor.setText(text)
          }),
          EditorState.readOnly.of(isReadOnly),
          look,
          colours,
        ],
      }),
    })
    // The form changed the document.
    const stop = editor.text.subscribe(text => {
      if (text !== view.state.doc.toString())
        view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: text } })
    })
    return () => {
      stop()
      view.destroy()
    }
  }, [editor, isReadOnly])
  return <div class="editor" ref={box} />
}
