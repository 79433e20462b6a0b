/*
** bcryptprimitives.dll for a Wine older than 9, which has none; every Windows since 8 has. Rust's standard library asks it for random
** bytes. Lies beside the load test's program, for Wine alone, and is no part of a release.
*/
#include <windows.h>
#include <ntsecapi.h>

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE bytes, SIZE_T count){
  return RtlGenRandom(bytes, (ULONG)count);
}
