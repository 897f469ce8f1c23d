# The libraries sftn stands on, as one list of targets; read by the build and by SFTNConfig.cmake.
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS C)
find_package(oneDNN 2.6 REQUIRED)
find_package(LibArchive REQUIRED)
find_package(CURL REQUIRED)
find_package(ZLIB REQUIRED)
find_package(PNG REQUIRED)
find_package(JPEG REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(JSONC REQUIRED IMPORTED_TARGET json-c)
pkg_check_modules(MD REQUIRED IMPORTED_TARGET libmd)
pkg_check_modules(CAIRO REQUIRED IMPORTED_TARGET cairo)

set(SFTN_LIBRARIES oneDNN::oneDNN OpenMP::OpenMP_C Threads::Threads LibArchive::LibArchive
    CURL::libcurl ZLIB::ZLIB PNG::PNG JPEG::JPEG PkgConfig::JSONC PkgConfig::MD PkgConfig::CAIRO m)
