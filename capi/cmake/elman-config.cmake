# find_package(elman) for a build tree of Elman, or a folder into which it was installed:
#
#     find_package(elman REQUIRED PATHS path/to/elman/capi/cmake)
#     target_link_libraries(plugin PRIVATE elman::elman)          # static
#     target_link_libraries(plugin PRIVATE elman::elman-shared)
#
# ELMAN_INCLUDE_DIR and ELMAN_LIBRARY_DIR say where the headers and the libraries are, where that is elsewhere.
get_filename_component(_elman_capi "${CMAKE_CURRENT_LIST_DIR}/.." ABSOLUTE)
find_path(ELMAN_INCLUDE_DIR elman.h HINTS "${_elman_capi}/include" "${_elman_capi}/../../include")
set(_elman_hints "${ELMAN_LIBRARY_DIR}" "${_elman_capi}/../target/release" "${_elman_capi}/../../lib")
find_library(ELMAN_STATIC_LIBRARY
  NAMES "${CMAKE_STATIC_LIBRARY_PREFIX}elman_capi${CMAKE_STATIC_LIBRARY_SUFFIX}" HINTS ${_elman_hints})
find_library(ELMAN_SHARED_LIBRARY
  NAMES "${CMAKE_SHARED_LIBRARY_PREFIX}elman_capi${CMAKE_SHARED_LIBRARY_SUFFIX}" elman_capi.dll.lib HINTS ${_elman_hints})

include(FindPackageHandleStandardArgs)
if(ELMAN_STATIC_LIBRARY)
  find_package_handle_standard_args(elman DEFAULT_MSG ELMAN_STATIC_LIBRARY ELMAN_INCLUDE_DIR)
else()
  find_package_handle_standard_args(elman DEFAULT_MSG ELMAN_SHARED_LIBRARY ELMAN_INCLUDE_DIR)
endif()

if(elman_FOUND AND ELMAN_STATIC_LIBRARY AND NOT TARGET elman::elman)
  add_library(elman::elman UNKNOWN IMPORTED)
  set_target_properties(elman::elman PROPERTIES
    IMPORTED_LOCATION "${ELMAN_STATIC_LIBRARY}" INTERFACE_INCLUDE_DIRECTORIES "${ELMAN_INCLUDE_DIR}")
  # What Rust's standard library needs.
  if(WIN32)
    set_property(TARGET elman::elman PROPERTY INTERFACE_LINK_LIBRARIES ws2_32 userenv ntdll bcrypt)
  elseif(NOT APPLE)
    set_property(TARGET elman::elman PROPERTY INTERFACE_LINK_LIBRARIES pthread dl m)
  endif()
endif()
if(elman_FOUND AND ELMAN_SHARED_LIBRARY AND NOT TARGET elman::elman-shared)
  add_library(elman::elman-shared UNKNOWN IMPORTED)
  set_target_properties(elman::elman-shared PROPERTIES
    IMPORTED_LOCATION "${ELMAN_SHARED_LIBRARY}" INTERFACE_INCLUDE_DIRECTORIES "${ELMAN_INCLUDE_DIR}")
endif()
