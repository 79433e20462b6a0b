import commonjs from './index.js'

export const { ReplicaError, getLoadablePath, isConflict, lastError, load, open, replicaName, runTransaction } = commonjs
