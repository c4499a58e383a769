# Linux -> macOS 14 on arm64, by clang and lld from $LLVM_BIN against the stand-in SDK in $MACOS_SDK (see sdk.py).
set(CMAKE_SYSTEM_NAME Darwin)
set(CMAKE_SYSTEM_VERSION 23.6.0) # the kernel of macOS 14
set(CMAKE_SYSTEM_PROCESSOR arm64)
set(CMAKE_OSX_ARCHITECTURES arm64)
set(CMAKE_OSX_DEPLOYMENT_TARGET 14.0) # what MLX's wheels ask for
set(CMAKE_OSX_SYSROOT $ENV{MACOS_SDK})

set(llvm $ENV{LLVM_BIN})
set(CMAKE_CXX_COMPILER ${llvm}/clang++)
set(CMAKE_ASM_COMPILER ${llvm}/clang)
foreach(language ASM CXX)
  set(CMAKE_${language}_COMPILER_TARGET arm64-apple-macos14.0)
endforeach()
set(CMAKE_AR ${llvm}/llvm-ar)
set(CMAKE_RANLIB ${llvm}/llvm-ranlib)
set(CMAKE_STRIP ${llvm}/llvm-strip)
set(CMAKE_INSTALL_NAME_TOOL ${llvm}/llvm-install-name-tool)
set(CMAKE_OTOOL ${llvm}/llvm-otool)
foreach(kind EXE MODULE SHARED)
  set(CMAKE_${kind}_LINKER_FLAGS_INIT "-fuse-ld=lld")
endforeach()

# Programs are this machine's. Libraries and packages may lie outside the SDK too: MLX and nanobind are wheels.
set(CMAKE_FIND_ROOT_PATH $ENV{MACOS_SDK})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY BOTH)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE BOTH)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE BOTH)
