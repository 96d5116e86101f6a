// What a router does once a minute it does ten times a second: so that retention is met in the short lives of the tests.
const { setInterval: usual } = globalThis
globalThis.setInterval = (work, ms, ...rest) => usual(work, ms === 60_000 ? 100 : ms, ...rest)
