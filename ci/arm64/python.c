// venv/bin/python of an emulated environment: a program of this machine that runs arm64's Python under qemu-user. A child
// started by sys.executable runs this again, so that neither binfmt_misc nor root is needed. The paths are compiled in,
// because tests start children with an empty environment. EMULATED_CPU names another processor than Neoverse N1.
// Linked statically: an LD_PRELOAD that is meant for the guest must not be looked at by this machine's loader.
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char** argv) {
  const char* cpu = getenv("EMULATED_CPU");
  char** to = calloc((size_t)argc + 8, sizeof *to);
  if (to == NULL) return 127;
  int n = 0;
  to[n++] = QEMU;
  to[n++] = "-L";
  to[n++] = ROOT;
  to[n++] = "-cpu";
  to[n++] = (char*)(cpu ? cpu : "neoverse-n1");
  to[n++] = "-0";
  to[n++] = SELF;  // by argv[0] Python finds its environment, and what sys.executable is
  to[n++] = ROOT "/usr/bin/python3.11";
  for (int i = 1; i < argc; ++i) to[n++] = argv[i];
  execv(QEMU, to);
  return 127;
}
