{
  "variables": {
    "asan%": 0,
    # Small before fast: every container maps the program twice, and it waits for the kernel anyway.
    "small": ["-Os", "-fno-pie", "-fno-exceptions", "-fno-rtti", "-fno-asynchronous-unwind-tables", "-fno-unwind-tables", "-fno-threadsafe-statics", "-ffunction-sections", "-fdata-sections"]
  },
  "target_defaults": {
    # -Wno-restrict: GCC 12 finds overlaps in std::string's own operator+ that are not there (GCC bug 105651).
    "cflags_cc": ["-std=c++20", "-Wall", "-Wextra", "-Werror", "-Wno-missing-field-initializers", "-Wno-restrict", "-O2", "-g0"],
    "include_dirs": ["lib"],
    "conditions": [["asan==1", {"cflags": ["-fsanitize=address,undefined"], "ldflags": ["-fsanitize=address,undefined"]}]]
  },
  "targets": [
    {
      "target_name": "stack_native",
      "sources": ["<!@(ls addon/*.cc lib/*.cc)"],
      "include_dirs": ["<!(node -p \"require('node-addon-api').include_dir\")"],
      "defines": ["NAPI_VERSION=9", "NAPI_CPP_EXCEPTIONS"],
      "cflags_cc": ["-fexceptions", "-fvisibility=hidden"]
    },
    {
      # What the program needs of a C library in place of glibc's. Apart, because link-time optimisation knows these names.
      "target_name": "stack_libc",
      "type": "static_library",
      "sources": ["<!@(ls libc/*.cc)"],
      "cflags!": ["-fPIC"],
      "cflags_cc": ["<@(small)", "-fno-builtin"]
    },
    {
      "target_name": "stack-runtime",
      "type": "executable",
      "dependencies": ["stack_libc"],
      "sources": ["<!@(ls runtime/*.cc lib/*.cc)"],
      "cflags!": ["-fPIC"],
      "cflags_cc": ["<@(small)"],
      # Each -u takes one file of stack_libc, before the C library is asked for what is in it.
      "ldflags": ["-static", "-no-pie", "-fuse-ld=bfd", "-Wl,--gc-sections", "-Wl,--build-id=none", "-Wl,-T,<(module_root_dir)/libc/no_unwinding.ld", "-Wl,-u,printf", "-Wl,-u,__ctype_init", "-Wl,-u,strcmp", "-s"],
      "conditions": [["asan==0", {"cflags_cc": ["-flto=auto"], "ldflags": ["-flto=auto"]}]],
      "libraries": ["-l:libz.a", "-l:libzstd.a"]
    },
    {
      "target_name": "stack",
      "type": "executable",
      "dependencies": ["stack_libc"],
      "sources": ["launcher/main.cc", "lib/fd.cc", "lib/fs.cc", "lib/result.cc", "runtime/format_text.cc"],
      "cflags!": ["-fPIC"],
      "cflags_cc": ["-Os", "-fno-pie", "-fno-exceptions", "-fno-rtti", "-fno-asynchronous-unwind-tables", "-fno-unwind-tables", "-fno-threadsafe-statics", "-ffunction-sections", "-fdata-sections"],
      "ldflags": ["-static", "-no-pie", "-fuse-ld=bfd", "-Wl,--gc-sections", "-Wl,--build-id=none", "-Wl,-T,<(module_root_dir)/libc/no_unwinding.ld", "-Wl,-u,printf", "-Wl,-u,__ctype_init", "-Wl,-u,strcmp", "-s"]
    }
  ]
}
