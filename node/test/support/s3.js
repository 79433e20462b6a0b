'use strict'
// An S3 server with one bucket.

const { spawn } = require('node:child_process')
const { once } = require('node:events')
const path = require('node:path')
const { ENVIRONMENT, cleanEnvironment } = require('./environment')
const { Primary } = require('./litestream')

const PYTHON = path.join(ENVIRONMENT, 'javascript', 'venv', 'bin', 'python3')
const SERVER = `
import sys, threading
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server
application, lock = DomainDispatcherApplication(create_backend_app), threading.Lock()
def one_at_a_time(environ, start_response):
    # Between the look for an object and its creation, moto lets other requests create it.
    with lock:
        return list(application(environ, start_response))
server = make_server("127.0.0.1", 0, one_at_a_time, threaded=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_port, flush=True)
sys.stdin.read()
`

/** Starts a server. It ends with this process at the latest. */
async function startS3() {
    const server = spawn(PYTHON, ['-c', SERVER], { env: cleanEnvironment(), stdio: ['pipe', 'pipe', 'ignore'] })
    const [port] = await once(server.stdout, 'data')
    const endpoint = `http://127.0.0.1:${`${port}`.trim()}`
    const headers = { authorization: 'AWS4-HMAC-SHA256 Credential=reader/20260101/us-east-1/s3/aws4_request' }
    const created = await fetch(`${endpoint}/bucket`, { method: 'PUT', headers })
    if (!created.ok) throw new Error(`no bucket: ${created.status}`)
    const environment = { AWS_ACCESS_KEY_ID: 'reader', AWS_SECRET_ACCESS_KEY: 'not-a-secret' }
    return {
        url: (name) => `s3://bucket/${name}?endpoint=${endpoint}&region=us-east-1`,
        environment,
        // With these variables, s3://bucket is on this server.
        reader: { ...environment, AWS_ENDPOINT_URL_S3: endpoint, AWS_REGION: 'us-east-1' },
        stop: () => server.stdin.end()
    }
}

/** Starts a server, and a primary whose database has these contents and is replicated there. `stop` ends both. */
async function startPrimaryOnS3(sql) {
    const server = await startS3()
    const primary = new Primary(server.url('app'), server.environment)
    const stop = () => {
        primary.stop()
        server.stop()
    }
    try {
        primary.db.exec(sql)
        await primary.start()
        primary.sync()
    } catch (error) {
        stop()
        throw error
    }
    return { server, primary, stop }
}

module.exports = { startPrimaryOnS3, startS3 }
