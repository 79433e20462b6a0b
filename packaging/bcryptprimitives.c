/*
** A bcryptprimitives.dll for Wine before version 9, which has none. Every Windows since 8 has one. Rust's standard library gets random bytes from
** it. The load test copies it next to its program, only for Wine. It is not part of a release.
*/
#include <windows.h>
#include <ntsecapi.h>

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE bytes, SIZE_T count){
  return RtlGenRandom(bytes, (ULONG)count);
}
