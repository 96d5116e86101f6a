#!/usr/bin/env node
// The command of the package. Old versions of Node have to be able to read this file, so that they can say that they are too old.
'use strict'
var wanted = require('../package.json').engines.node.replace('>=', '')
var least = wanted.split('.').map(Number)
var own = process.versions.node.split('.').map(Number)
var difference = own[0] - least[0] || own[1] - least[1] || own[2] - least[2]
if (difference < 0) {
  console.error(
    'signalbox: Node ' +
      wanted +
      ' or newer is needed; found ' +
      process.versions.node +
      ' at ' +
      process.execPath,
  )
  process.exit(78)
}
void import('../dist/signalbox.js')
