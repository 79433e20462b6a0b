'use strict'
// The TypeScript declarations.

const { execFileSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const { test } = require('node:test')
const { ENVIRONMENT, installApp, tarballs } = require('./support/environment')

const MODULES = path.join(ENVIRONMENT, 'javascript', 'node_modules')

/** Compiles files of test/types in an application. */
function compile(files, types) {
    const modules = ['@types', 'bun-types', 'better-sqlite3'].map((name) => [name, path.join(MODULES, name)])
    const app = installApp(tarballs(), Object.fromEntries(modules))
    for (const file of files) fs.copyFileSync(path.join(__dirname, 'types', file), path.join(app, file))
    const compilerOptions = { strict: true, noEmit: true, module: 'nodenext', target: 'es2024', types }
    fs.writeFileSync(path.join(app, 'tsconfig.json'), JSON.stringify({ compilerOptions, files }))
    execFileSync(process.execPath, [path.join(MODULES, 'typescript', 'bin', 'tsc')], { cwd: app, stdio: ['ignore', 'inherit', 'inherit'] })
}

test('programs for Node.js compile as ES modules and as CommonJS', () => compile(['node.mts', 'node.cts'], ['node']))
test('programs for Bun compile', () => compile(['bun.mts'], ['bun']))
