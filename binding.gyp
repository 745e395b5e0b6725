{
  "targets": [
    {
      "target_name": "vdistream",
      "sources": [
        "native/addon.cc",
        "native/old_glibc.cc",
        "native/arguments.cc",
        "native/workers.cc",
        "native/memory.cc",
        "native/descriptor.cc",
        "native/device.cc",
        "native/zero.cc",
        "native/io.cc",
        "native/scan.cc",
        "native/sums.cc",
        "native/hash.cc",
        "native/inflate.cc",
        "native/deflate.cc",
        "native/deflate_zlib.cc",
        "native/deflate_isal.cc"
      ],
      "defines": ["NAPI_VERSION=8", "_FILE_OFFSET_BITS=64"],
      "cflags!": ["-O2"],
      "cflags_cc!": ["-std=gnu++17", "-std=gnu++20", "-fno-rtti"],
      "cflags_cc": ["-std=c++20", "-O3", "-Wall", "-Wextra", "-fvisibility=hidden"],
      "ldflags": [
        "-static-libstdc++",
        "-static-libgcc",
        "-Wl,--as-needed",
        "-Wl,--gc-sections",
        # Node unloads an addon with the last worker thread that has it, perhaps while a thread of its own still runs.
        "-Wl,-z,nodelete",
        "-Wl,--version-script=<(module_root_dir)/native/exports.map"
      ]
    }
  ]
}
