import commonjs from './index.js'

export const { ReplicaError, getLoadablePath, lastError, load, open, replicaName } = commonjs
