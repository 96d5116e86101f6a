// A bug that can be set off: the router throws where no part of it catches, or leaves a promise rejected.
process.on('SIGUSR2', () => {
  throw new Error('thrown on purpose')
})
process.on('SIGWINCH', () => void Promise.reject(new Error('rejected on purpose')))
