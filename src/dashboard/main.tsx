// The page. It has no state of its own but the address and what the browser keeps of its user's settings: everything else is asked of the
// router, over /rpc with the methods of openrpc.json, and from one stream for all tabs (stream/hub.ts).
//
// frame.tsx   what is around every screen          screens.ts   every screen; each is loaded when it is opened first
// rpc.ts      calls                                load.ts      what a screen shows, read again when something changes
// router.ts   the address                          parts/       the pieces that screens are made of
//
// Text of strangers is only ever put in as text, through text.ts. No markup is made from strings.
import { render } from 'preact'
import './styles/tokens.css'
import './styles/page.css'
import { Frame } from './frame.tsx'
import { Login } from './login.tsx'
import { startKeys } from './parts/keys.ts'
import { startRouter } from './router.ts'
import { loggedIn, root } from './rpc.ts'
import { begin } from './session.ts'
import { startStatus } from './status.ts'
import { startHub } from './stream/hub.ts'

let refused: string | undefined

function Page() {
  if (loggedIn.value === undefined) return null
  return loggedIn.value ? <Frame /> : <Login refused={refused} />
}

// Relative addresses would be resolved against each screen's own address once the page has moved there.
document.querySelector('base')!.href = root.href
startRouter()
startKeys()
try {
  refused = await begin()
} catch {
  // Not reachable: the login page says so.
  loggedIn.value = false
}
startHub()
startStatus()
render(<Page />, document.getElementById('page')!)
