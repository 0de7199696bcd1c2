/** A root filesystem made of Debian packages without installing them (microVM reference 11.2). */
export interface RootfsRecipe {
  name: 'python' | 'node'
  /** Debian packages to unpack, with everything they depend on. */
  packages: readonly string[]
  /** Packages of the closure that a guest never runs. */
  without: readonly string[]
  /** Folders and files, relative to the root, that only cost space. */
  strip: readonly string[]
}

const strip = [
  'usr/share/doc',
  'usr/share/man',
  'usr/share/locale',
  'usr/share/info',
  'usr/share/lintian',
  'usr/share/bash-completion',
  'usr/share/bug',
  'usr/lib/x86_64-linux-gnu/gconv', // character sets other than UTF-8
  'usr/lib/x86_64-linux-gnu/perl-base',
  'usr/lib/python3.11/test',
  'usr/lib/python3.11/idlelib',
  'usr/lib/python3.11/lib2to3',
  'usr/lib/python3.11/ensurepip',
  'var',
]

export const rootfsRecipes: readonly RootfsRecipe[] = [
  {
    name: 'python',
    packages: [
      'python3-minimal', // the interpreter
      'libpython3-stdlib', // its standard library
      'python3-uvicorn', // the ASGI server that the zygote keeps ready (brings h11, click, asgiref)
      'python3-wsproto', // WebSocket for uvicorn
      'dash', // /bin/sh, for programs that are shell scripts or call one
    ],
    // Named by python3-minimal for its install scripts, which never run here.
    without: ['dpkg', 'tar', 'libdb5.3', 'libpcre2-8-0', 'libselinux1', 'libacl1', 'libmd0'],
    strip,
  },
  {
    name: 'node',
    packages: [
      'libc6', // the C library that the Node binary is linked with
      'libstdc++6', // its C++ library
      'libgcc-s1', // its unwinder
      'dash', // /bin/sh, for child_process
    ],
    without: ['dpkg', 'tar', 'libselinux1', 'libpcre2-8-0', 'libacl1', 'libmd0', 'debianutils'],
    strip,
  },
]

/** The guest kernel where the machine has no hardware virtualisation; its squashfs and overlay modules go into the initrd. */
export const kernelPackage = 'user-mode-linux'
