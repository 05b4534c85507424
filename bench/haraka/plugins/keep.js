'use strict'
// The benchmark's own queue: known recipients only, and each mail a file that is on disk before the 250.
// Haraka's stock queues sync the file or nothing, and never the directory (decision 0324).

const fs = require('node:fs')
const path = require('node:path')

exports.register = function () {
    this.known = new Set(this.config.get('recipients', 'list'))
    this.kept = this.config.get('kept')
    this.register_hook('rcpt', 'known_only')
    this.register_hook('queue', 'keep')
    // Open for as long as the process lives: to sync it is to make the names in it durable.
    this.directory = fs.openSync(this.kept, 'r')
}

exports.known_only = function (next, connection, params) {
    const recipient = params[0]
    const address = `${recipient.user}@${recipient.host}`.toLowerCase()
    if (this.known.has(address)) return next(OK)
    return next(DENY, 'no such recipient')
}

exports.keep = function (next, connection) {
    const failed = (error) => {
        connection.logerror(this, `cannot keep: ${error.message}`)
        next(DENYSOFT, 'cannot keep it now')
    }
    const transaction = connection.transaction
    const envelope = { from: `${transaction.mail_from}`, to: transaction.rcpt_to.map((one) => `${one}`) }
    const file = fs.createWriteStream(path.join(this.kept, transaction.uuid), { flags: 'wx', flush: true })
    file.on('error', failed)
    file.on('close', () => {
        if (!file.errored) fs.fsync(this.directory, (error) => (error ? failed(error) : next(OK)))
    })
    file.write(`${JSON.stringify(envelope)}\n`)
    transaction.message_stream.pipe(file, { line_endings: '\n' })
}
